//! How good predictions are.

use super::dataset::Dataset;
use super::options::LabelMode;
use super::push;
use crate::buffer::{try_vec, try_with_capacity};
use crate::error::{Result, check_len, ensure, product};
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

/// How the scores of several classes become one, by scikit-learn's names.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Averaging {
    /// Of the counts of all classes together.
    Micro = 0,
    /// The mean over all classes, those without an example too.
    Macro = 1,
    /// The mean weighted by the classes' support.
    Weighted = 2,
}

/// Precision, recall and F1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    /// Share of the predictions that are true; 0 if there are none.
    pub precision: f64,
    /// Share of the true ones that were predicted; 0 if there are none.
    pub recall: f64,
    /// Harmonic mean of both; 0 if both are. An average is the mean of the classes', not that of the two averages.
    pub f1: f64,
}

impl Scores {
    fn of(counts: &ClassCounts) -> Self {
        Self { precision: counts.precision(), recall: counts.recall(), f1: counts.f1() }
    }

    /// The scores of several classes as one.
    pub fn average(classes: &[ClassCounts], how: Averaging) -> Self {
        if how == Averaging::Micro {
            return Self::of(&total(classes));
        }
        let weight = |c: &ClassCounts| if how == Averaging::Macro { 1.0 } else { c.support() as f64 };
        let (mut sum, mut weights) = (Self::default(), 0.0);
        for c in classes {
            let (w, scores) = (weight(c), Self::of(c));
            sum.precision += w * scores.precision;
            sum.recall += w * scores.recall;
            sum.f1 += w * scores.f1;
            weights += w;
        }
        let mean = |sum: f64| if weights > 0.0 { sum / weights } else { 0.0 };
        Self { precision: mean(sum.precision), recall: mean(sum.recall), f1: mean(sum.f1) }
    }
}

fn total(classes: &[ClassCounts]) -> ClassCounts {
    classes.iter().fold(ClassCounts::default(), |sum, c| ClassCounts {
        hits: sum.hits + c.hits,
        false_alarms: sum.false_alarms + c.false_alarms,
        misses: sum.misses + c.misses,
    })
}

impl ClassCounts {
    /// Examples of the class.
    pub fn support(&self) -> u64 {
        self.hits + self.misses
    }

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

    /// Classes.
    #[allow(clippy::len_without_is_empty)] // without classes there is nothing to count
    pub fn len(&self) -> usize {
        self.classes
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

    /// The counts of every class against all others.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn classes(&self) -> Result<Vec<ClassCounts>> {
        let mut classes = try_with_capacity(self.classes)?;
        classes.extend((0..self.classes as u32).map(|c| self.class(c)));
        Ok(classes)
    }

    /// The scores of all classes as one; with [`Averaging::Micro`] all three are the accuracy.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn average(&self, how: Averaging) -> Result<Scores> {
        Ok(Scores::average(&self.classes()?, how))
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
        total(&self.classes)
    }

    /// The scores of all classes as one.
    pub fn average(&self, how: Averaging) -> Scores {
        Scores::average(&self.classes, how)
    }

    /// Mean F1 of the classes.
    pub fn macro_f1(&self) -> f64 {
        let sum: f64 = self.classes.iter().map(ClassCounts::f1).sum();
        if self.classes.is_empty() { 0.0 } else { sum / self.classes.len() as f64 }
    }
}

/// Appends to `classes` those whose probability is above their threshold, ascending. `thresholds` are one for all or one for
/// each class; a sigmoid's natural one is 0.5.
///
/// # Errors
/// `ShapeMismatch` for another number of thresholds; `OutOfMemory`.
pub fn above(probabilities: &[f32], thresholds: &[f32], classes: &mut Vec<u32>) -> Result<()> {
    if thresholds.len() != 1 {
        check_len("thresholds", thresholds.len(), probabilities.len())?;
    }
    for (c, p) in probabilities.iter().enumerate() {
        if *p > thresholds[if thresholds.len() == 1 { 0 } else { c }] {
            push(classes, c as u32)?;
        }
    }
    Ok(())
}

/// For each class the threshold with the largest F1 on these examples, given their probabilities, (examples, classes): half
/// way between two probabilities that occur; of equal ones the largest; 0.5 for a class without an example. To be chosen
/// on other texts than those that it is then judged by.
///
/// # Errors
/// `InvalidArgument` for examples with one label each; `ShapeMismatch` for another number of probabilities; `OutOfMemory`.
pub fn best_thresholds(data: &Dataset, probabilities: &[f32]) -> Result<Vec<f32>> {
    ensure!(data.mode() == LabelMode::Multi, InvalidArgument, "the examples have one label each, expected several");
    let n = data.labels().len();
    check_len("probabilities", probabilities.len(), product("probabilities", &[data.len(), n])?)?;
    let mut thresholds = try_vec(n, 0.5)?;
    let mut column: Vec<(f32, bool)> = try_with_capacity(data.len())?;
    for (c, threshold) in thresholds.iter_mut().enumerate() {
        column.clear();
        let rows = probabilities.chunks_exact(n).enumerate();
        column.extend(rows.map(|(i, row)| (row[c], data.targets(i).binary_search(&(c as u32)).is_ok())));
        column.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let support = column.iter().filter(|(_, real)| *real).count() as u64;
        let (mut best, mut hits) = (0.0, 0);
        for (k, (p, real)) in column.iter().enumerate() {
            hits += u64::from(*real);
            let next = column.get(k + 1).map_or(0.0, |(p, _)| *p);
            // Equal probabilities are on one side.
            let predicted = k as u64 + 1;
            let f1 = ratio(2 * hits, predicted + support);
            if next < *p && f1 > best {
                (best, *threshold) = (f1, next + 0.5 * (p - next));
            }
        }
    }
    Ok(thresholds)
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
        writeln!(f, "  precision  recall     F1  support")?;
        for (t, label) in labels.iter().enumerate() {
            write!(f, "{label:<first$}")?;
            for (p, &w) in widths.iter().enumerate() {
                write!(f, "  {:>w$}", self.confusion.counts[t * n + p])?;
            }
            let c = self.confusion.class(t as u32);
            writeln!(f, "  {:>9.3}  {:>6.3}  {:>5.3}  {:>7}", c.precision(), c.recall(), c.f1(), c.support())?;
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

    /// What scikit-learn's `precision_recall_fscore_support` says, by hand.
    #[test]
    fn averages_by_hand() {
        let near = |found: Scores, p: f64, r: f64, f: f64| {
            let far = |a: f64, b: f64| (a - b).abs() > 1e-15;
            assert!(!far(found.precision, p) && !far(found.recall, r) && !far(found.f1, f), "{found:?} {p} {r} {f}");
        };
        let c = example();
        let supports: Vec<u64> = c.classes().unwrap().iter().map(ClassCounts::support).collect();
        assert_eq!(supports, [6, 6, 0]);
        near(c.average(Averaging::Micro).unwrap(), 8.0 / 12.0, 8.0 / 12.0, 8.0 / 12.0);
        let (f0, f1) = (10.0 / 13.0, 0.6);
        near(c.average(Averaging::Macro).unwrap(), (5.0 / 7.0 + 0.75) / 3.0, (5.0 / 6.0 + 0.5) / 3.0, (f0 + f1) / 3.0);
        near(
            c.average(Averaging::Weighted).unwrap(),
            (5.0 / 7.0 + 0.75) / 2.0,
            (5.0 / 6.0 + 0.5) / 2.0,
            (f0 + f1) / 2.0,
        );
        let mut uneven = LabelScores::new(2).unwrap();
        uneven.add(&[0], &[0, 1]).unwrap();
        uneven.add(&[0, 1], &[]).unwrap();
        uneven.add(&[0], &[0]).unwrap();
        // Class 0: 2 hits, 1 miss; class 1: no hit, 1 false alarm, 1 miss.
        near(uneven.average(Averaging::Micro), 2.0 / 3.0, 0.5, 4.0 / 7.0);
        near(uneven.average(Averaging::Macro), 0.5, 1.0 / 3.0, 0.4);
        near(uneven.average(Averaging::Weighted), 0.75, 0.5, 0.6);
        for how in [Averaging::Micro, Averaging::Macro, Averaging::Weighted] {
            near(LabelScores::new(2).unwrap().average(how), 0.0, 0.0, 0.0);
        }
    }

    #[test]
    fn thresholds_decide() {
        let chosen = |thresholds: &[f32]| {
            let mut classes = vec![7];
            above(&[0.5, 0.2, 0.9], thresholds, &mut classes).map(|()| classes)
        };
        assert_eq!(chosen(&[0.5]).unwrap(), [7, 2]);
        assert_eq!(chosen(&[0.1]).unwrap(), [7, 0, 1, 2]);
        assert_eq!(chosen(&[0.4, 0.2, 0.9]).unwrap(), [7, 0]);
        assert_eq!(chosen(&[]).unwrap_err().kind(), ErrorKind::ShapeMismatch);
        assert_eq!(chosen(&[0.1, 0.1]).unwrap_err().kind(), ErrorKind::ShapeMismatch);
    }

    #[test]
    fn the_best_thresholds_are_the_best() {
        use crate::random::Random;
        use crate::text::{DatasetOptions, VocabOptions};
        let read = |file: &str, mode| {
            let options = DatasetOptions { mode, ..DatasetOptions::default() };
            Dataset::train_from(file.as_bytes(), "t", &options, &VocabOptions::default()).unwrap().0
        };
        let mut random = Random::new(8, 0);
        for _ in 0..50 {
            let n = 2 + random.below(12) as usize;
            let mut file = "a,b\tx\n".to_owned();
            for _ in 1..n {
                file += ["a\tx\n", "b\tx\n", "a,b\tx\n"][random.below(3) as usize];
            }
            let data = read(&file, LabelMode::Multi);
            let p: Vec<f32> = (0..2 * n).map(|_| random.below(6) as f32 / 8.0 + 0.1).collect();
            let best = best_thresholds(&data, &p).unwrap();
            let f1 = |thresholds: &[f32]| {
                let mut scores = LabelScores::new(2).unwrap();
                for (i, row) in p.chunks_exact(2).enumerate() {
                    let mut chosen = vec![];
                    above(row, thresholds, &mut chosen).unwrap();
                    scores.add(data.targets(i), &chosen).unwrap();
                }
                [scores.classes()[0].f1(), scores.classes()[1].f1()]
            };
            let found = f1(&best);
            for step in 0..20 {
                let other = f1(&[step as f32 / 20.0]);
                assert!(found[0] >= other[0] && found[1] >= other[1], "{file} {p:?} {best:?}");
            }
        }
        let e = best_thresholds(&read("a\tx\nb\tx", LabelMode::Single), &[0.0; 4]).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument);
        let e = best_thresholds(&read("a\tx\nb\tx", LabelMode::Multi), &[0.0; 3]).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::ShapeMismatch);
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
true \\ predicted  да  a label of many…  2  precision  recall     F1  support
да                 5                 1  0      0.714   0.833  0.769        6
a label of many…   2                 3  1      0.750   0.500  0.600        6
2                  0                 0  0      0.000   0.000  0.000        0
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
