//! How good predictions are.

use crate::buffer::try_vec;
use crate::error::{Result, ensure, product};
use std::fmt::{self, Write};

/// Counts for one class seen as yes or no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassCounts {
    /// Predicted and true.
    pub hits: u64,
    /// Predicted but not true.
    pub false_alarms: u64,
    /// True but not predicted.
    pub misses: u64,
}

impl ClassCounts {
    /// Share of the predictions that are true; 0 if there are none.
    pub fn precision(&self) -> f64 {
        ratio(self.hits, self.hits + self.false_alarms)
    }

    /// Share of the true ones that were predicted; 0 if there are none.
    pub fn recall(&self) -> f64 {
        ratio(self.hits, self.hits + self.misses)
    }

    /// Harmonic mean of precision and recall; 0 if both are.
    pub fn f1(&self) -> f64 {
        ratio(2 * self.hits, 2 * self.hits + self.false_alarms + self.misses)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Counts of (true class, predicted class).
///
/// ```
/// let mut confusion = simdrnn::text::Confusion::new(2)?;
/// for (target, predicted) in [(0, 0), (1, 1), (1, 0), (1, 1)] {
///     confusion.add(target, predicted)?;
/// }
/// assert_eq!(confusion.accuracy(), 0.75);
/// assert_eq!(confusion.class(1).recall(), 2.0 / 3.0);
/// # Ok::<(), simdrnn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// `classes` × `classes`; a row is a true class.
    counts: Vec<u64>,
}

impl Confusion {
    /// No predictions yet.
    ///
    /// # Errors
    /// `SizeOverflow`, `OutOfMemory`.
    pub fn new(classes: usize) -> Result<Self> {
        Ok(Self { classes, counts: try_vec(product("confusion matrix", &[classes, classes])?, 0)? })
    }

    /// Counts one prediction.
    ///
    /// # Errors
    /// `InvalidArgument` if a class is not below the number of classes.
    pub fn add(&mut self, target: u32, predicted: u32) -> Result<()> {
        let (t, p, n) = (target as usize, predicted as usize, self.classes);
        ensure!(t < n && p < n, InvalidArgument, "classes {t} (true) and {p} (predicted), expected both below {n}");
        self.counts[t * n + p] += 1;
        Ok(())
    }

    /// How often examples of class `target` were predicted as `predicted`; 0 for unknown classes.
    pub fn count(&self, target: u32, predicted: u32) -> u64 {
        let (t, p) = (target as usize, predicted as usize);
        if t < self.classes && p < self.classes { self.counts[t * self.classes + p] } else { 0 }
    }

    /// Predictions counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Share of right predictions; 0 if there are none.
    pub fn accuracy(&self) -> f64 {
        ratio((0..self.classes).map(|c| self.counts[c * self.classes + c]).sum(), self.total())
    }

    /// The counts of one class against all others.
    pub fn class(&self, class: u32) -> ClassCounts {
        let hits = self.count(class, class);
        let all = 0..self.classes as u32;
        let predicted: u64 = all.clone().map(|t| self.count(t, class)).sum();
        let real: u64 = all.map(|p| self.count(class, p)).sum();
        ClassCounts { hits, false_alarms: predicted - hits, misses: real - hits }
    }

    /// Mean F1 of the classes.
    pub fn macro_f1(&self) -> f64 {
        let sum: f64 = (0..self.classes as u32).map(|c| self.class(c).f1()).sum();
        if self.classes == 0 { 0.0 } else { sum / self.classes as f64 }
    }

    /// The matrix and each class's scores as a table; `labels` name the classes, a missing one shows its number.
    pub fn table<'a>(&'a self, labels: &'a [String]) -> impl fmt::Display + 'a {
        Table { confusion: self, labels }
    }
}

/// Counts per class where an example may have several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelScores {
    classes: Vec<ClassCounts>,
    examples: u64,
    exact: u64,
}

impl LabelScores {
    /// No predictions yet.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn new(classes: usize) -> Result<Self> {
        Ok(Self { classes: try_vec(classes, ClassCounts::default())?, examples: 0, exact: 0 })
    }

    /// Counts one example: its classes and the predicted ones, both ascending.
    ///
    /// # Errors
    /// `InvalidArgument` if a list is not ascending or has a class that is not below the number of classes; nothing is
    /// counted then.
    pub fn add(&mut self, targets: &[u32], predicted: &[u32]) -> Result<()> {
        for (what, list) in [("true", targets), ("predicted", predicted)] {
            let known = list.last().is_none_or(|&c| (c as usize) < self.classes.len());
            ensure!(
                known && list.is_sorted_by(|a, b| a < b),
                InvalidArgument,
                "{what} classes are {list:?}, expected ascending ones below {}",
                self.classes.len()
            );
        }
        for &c in targets {
            match predicted.binary_search(&c) {
                Ok(_) => self.classes[c as usize].hits += 1,
                Err(_) => self.classes[c as usize].misses += 1,
            }
        }
        for &c in predicted.iter().filter(|c| targets.binary_search(c).is_err()) {
            self.classes[c as usize].false_alarms += 1;
        }
        self.examples += 1;
        self.exact += u64::from(targets == predicted);
        Ok(())
    }

    /// The counts of each class.
    pub fn classes(&self) -> &[ClassCounts] {
        &self.classes
    }

    /// Share of examples whose classes are all right; 0 if there are none.
    pub fn exact_share(&self) -> f64 {
        ratio(self.exact, self.examples)
    }

    /// The counts of all classes together; its F1 is the micro F1.
    pub fn total(&self) -> ClassCounts {
        self.classes.iter().fold(ClassCounts::default(), |sum, c| ClassCounts {
            hits: sum.hits + c.hits,
            false_alarms: sum.false_alarms + c.false_alarms,
            misses: sum.misses + c.misses,
        })
    }

    /// Mean F1 of the classes.
    pub fn macro_f1(&self) -> f64 {
        let sum: f64 = self.classes.iter().map(ClassCounts::f1).sum();
        if self.classes.is_empty() { 0.0 } else { sum / self.classes.len() as f64 }
    }
}

/// Characters of a label that a table shows.
const LABEL_WIDTH: usize = 16;

struct Table<'a> {
    confusion: &'a Confusion,
    labels: &'a [String],
}

impl Table<'_> {
    fn label(&self, class: usize) -> String {
        match self.labels.get(class) {
            None => class.to_string(),
            Some(l) => {
                let mut shown: String = l.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                if let Some((cut, _)) = shown.char_indices().nth(LABEL_WIDTH - 1)
                    && shown[cut..].chars().nth(1).is_some()
                {
                    shown.truncate(cut);
                    shown.push('…');
                }
                shown
            }
        }
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.confusion.classes;
        let labels: Vec<String> = (0..n).map(|c| self.label(c)).collect();
        const CORNER: &str = "true \\ predicted";
        let first = labels.iter().map(|l| l.chars().count()).max().unwrap_or(0).max(CORNER.len());
        let widest = self.confusion.counts.iter().max().map_or(1, |m| m.to_string().len());
        let widths: Vec<usize> = labels.iter().map(|l| l.chars().count().max(widest)).collect();
        write!(f, "{CORNER:<first$}")?;
        for (label, &w) in labels.iter().zip(&widths) {
            write!(f, "  {label:>w$}")?;
        }
        writeln!(f, "  precision  recall     F1")?;
        for (t, label) in labels.iter().enumerate() {
            write!(f, "{label:<first$}")?;
            for (p, &w) in widths.iter().enumerate() {
                write!(f, "  {:>w$}", self.confusion.counts[t * n + p])?;
            }
            let c = self.confusion.class(t as u32);
            writeln!(f, "  {:>9.3}  {:>6.3}  {:>5.3}", c.precision(), c.recall(), c.f1())?;
        }
        write!(f, "accuracy {:.3} of {}", self.confusion.accuracy(), self.confusion.total())?;
        f.write_char('\n')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn example() -> Confusion {
        let mut c = Confusion::new(3).unwrap();
        for (t, p, n) in [(0, 0, 5), (0, 1, 1), (1, 1, 3), (1, 0, 2), (1, 2, 1)] {
            for _ in 0..n {
                c.add(t, p).unwrap();
            }
        }
        c
    }

    #[test]
    fn scores_by_hand() {
        let c = example();
        assert_eq!((c.total(), c.accuracy()), (12, 8.0 / 12.0));
        assert_eq!(c.class(0), ClassCounts { hits: 5, false_alarms: 2, misses: 1 });
        assert_eq!((c.class(0).precision(), c.class(0).recall()), (5.0 / 7.0, 5.0 / 6.0));
        assert!((c.class(0).f1() - 10.0 / 13.0).abs() < 1e-15);
        // Class 2 was never true, class 9 does not exist.
        assert_eq!((c.class(2).precision(), c.class(2).recall(), c.class(2).f1()), (0.0, 0.0, 0.0));
        assert_eq!((c.count(1, 2), c.count(9, 0), c.class(9)), (1, 0, ClassCounts::default()));
        assert!((c.macro_f1() - (10.0 / 13.0 + 0.6) / 3.0).abs() < 1e-15);
        assert_eq!(Confusion::new(0).unwrap().macro_f1(), 0.0);
        assert_eq!(Confusion::new(2).unwrap().accuracy(), 0.0);
    }

    #[test]
    fn unknown_classes_are_refused() {
        let mut c = example();
        assert_eq!(c.add(3, 0).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(c.add(0, 3).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(c, example());
        assert_eq!(Confusion::new(usize::MAX).unwrap_err().kind(), ErrorKind::SizeOverflow);
    }

    #[test]
    fn table_is_aligned() {
        let labels = ["да".to_owned(), "a label\tof many characters".to_owned()];
        let shown = example().table(&labels).to_string();
        let expected = "\
true \\ predicted  да  a label of many…  2  precision  recall     F1
да                 5                 1  0      0.714   0.833  0.769
a label of many…   2                 3  1      0.750   0.500  0.600
2                  0                 0  0      0.000   0.000  0.000
accuracy 0.667 of 12
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn several_labels() {
        let mut s = LabelScores::new(3).unwrap();
        s.add(&[0, 2], &[0, 2]).unwrap();
        s.add(&[1], &[0, 1]).unwrap();
        s.add(&[0, 1], &[1]).unwrap();
        s.add(&[], &[]).unwrap();
        assert_eq!(s.classes()[0], ClassCounts { hits: 1, false_alarms: 1, misses: 1 });
        assert_eq!(s.classes()[1], ClassCounts { hits: 2, false_alarms: 0, misses: 0 });
        assert_eq!((s.exact_share(), s.total().f1()), (0.5, 0.8));
        assert!((s.macro_f1() - (0.5 + 1.0 + 1.0) / 3.0).abs() < 1e-15);
        let before = s.clone();
        for (t, p) in [(&[3][..], &[][..]), (&[], &[1, 1]), (&[1, 0], &[])] {
            assert_eq!(s.add(t, p).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
        assert_eq!(s, before);
    }
}
