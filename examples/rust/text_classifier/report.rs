//! Scores and predictions.

use crate::options::Options;
use crate::output::{complain, is_closed, plain, say};
use simdrnn::Error;
use simdrnn::text::{
    Averaging, ClassifierSession, Confusion, Dataset, LabelMode, LabelScores, Scores, TextClassifier,
    metrics::{ClassCounts, above},
    trainer::argmax,
};
use std::io::BufRead;

/// Labels up to which a confusion matrix fits a screen.
const WIDEST_TABLE: usize = 16;

/// What a file had, and what about it may be a mistake.
pub(crate) fn describe(what: &str, data: &Dataset) -> Result<(), Error> {
    let s = data.summary();
    let mut counts: Vec<(u64, &String)> = data.label_counts()?.into_iter().zip(data.labels()).collect();
    counts.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
    let shown: Vec<String> = counts.iter().take(20).map(|(n, label)| format!("{label} {n}")).collect();
    let more =
        if counts.len() > shown.len() { format!(" and {} more", counts.len() - shown.len()) } else { String::new() };
    say!("{what} texts by label: {}{more}", plain(&shown.join(", ")));
    if s.cut_texts > 0 {
        say!("{what} texts that were longer than --max-tokens: {}, {} tokens cut", s.cut_texts, s.cut_tokens);
    }
    if let Some(reason) = data.skip_reason() {
        complain!("warning: {what} file: {} lines left out, the first: {}", s.skipped_lines, reason.message());
    }
    if s.labels_nearly_unique {
        complain!(
            "warning: {what} file: {} of {} labels occur once: are --label-column and --text-column right?",
            s.labels_once,
            data.labels().len()
        );
    }
    if s.header_suspected {
        complain!("warning: {what} file: the first line's label occurs nowhere else: is it a --header?");
    }
    Ok(())
}

/// The labels of a text with several, in ascending order.
fn chosen(row: &[f32], threshold: f32) -> Result<Vec<u32>, Error> {
    let mut classes = Vec::new();
    above(row, &[threshold], &mut classes)?;
    Ok(classes)
}

/// Share of texts whose labels were all right.
pub(crate) fn accuracy(
    options: &Options,
    model: &TextClassifier,
    data: &Dataset,
    probabilities: &[f32],
) -> Result<f64, Error> {
    let mut right = 0;
    for (i, row) in probabilities.chunks_exact(model.labels().len()).enumerate() {
        right += usize::from(match data.mode() {
            LabelMode::Single => argmax(row) == data.targets(i)[0] as usize,
            LabelMode::Multi => chosen(row, options.threshold)? == data.targets(i),
        });
    }
    Ok(right as f64 / data.len() as f64)
}

/// Prints the confusion matrix, or each label's scores, and their averages, and returns the accuracy.
pub(crate) fn report(
    options: &Options,
    model: &TextClassifier,
    data: &Dataset,
    probabilities: &[f32],
) -> Result<f64, Error> {
    let classes = model.labels().len();
    let rows = probabilities.chunks_exact(classes).enumerate();
    let counts = match data.mode() {
        LabelMode::Single => {
            let mut confusion = Confusion::new(classes)?;
            for (i, row) in rows {
                confusion.add(data.targets(i)[0], argmax(row) as u32)?;
            }
            let counts = confusion.classes()?;
            if classes <= WIDEST_TABLE {
                say!("{}", confusion.table(model.labels()));
            } else {
                print_scores(model, &counts);
            }
            counts
        }
        LabelMode::Multi => {
            let mut scores = LabelScores::new(classes)?;
            for (i, row) in rows {
                scores.add(data.targets(i), &chosen(row, options.threshold)?)?;
            }
            print_scores(model, scores.classes());
            scores.classes().to_vec()
        }
    };
    for (name, how) in [("micro", Averaging::Micro), ("macro", Averaging::Macro), ("weighted", Averaging::Weighted)] {
        let Scores { precision, recall, f1 } = Scores::average(&counts, how);
        say!("{name} average: precision {precision:.4}, recall {recall:.4}, F1 {f1:.4}");
    }
    accuracy(options, model, data, probabilities)
}

fn print_scores(model: &TextClassifier, counts: &[ClassCounts]) {
    for (label, c) in model.labels().iter().zip(counts) {
        let (p, r, f1, support) = (c.precision(), c.recall(), c.f1(), c.support());
        say!("{}: precision {p:.4}, recall {r:.4}, F1 {f1:.4}, support {support}", plain(label));
    }
}

/// Prints the label and its probability for each sentence, or for each line of standard input; whether all could be read.
pub(crate) fn classify(model: &TextClassifier, options: &Options, from_input: bool) -> Result<bool, Error> {
    let mut session = ClassifierSession::default();
    let mut all = true;
    if from_input || options.sentences.iter().any(|s| s == "-") {
        let mut input = std::io::stdin().lock();
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            match input.read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) => {
                    complain!("error: standard input, line {number}: {e}");
                    all = false;
                    break;
                }
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            match std::str::from_utf8(text.strip_suffix(b"\r").unwrap_or(text)) {
                Ok(text) => classify_one(model, options, &mut session, text)?,
                Err(e) => {
                    complain!("error: standard input, line {number}: byte {} is not UTF-8", e.valid_up_to() + 1);
                    all = false;
                }
            }
            if is_closed() {
                break;
            }
        }
    } else {
        for sentence in &options.sentences {
            classify_one(model, options, &mut session, sentence)?;
        }
    }
    if session.truncated() > 0 {
        complain!("warning: {} texts were longer than the model's limit of tokens, and cut", session.truncated());
    }
    Ok(all)
}

fn classify_one(
    model: &TextClassifier,
    options: &Options,
    session: &mut ClassifierSession,
    sentence: &str,
) -> Result<(), Error> {
    let mut probabilities = vec![0.0; model.labels().len()];
    model.classify(session, sentence, &mut probabilities)?;
    let classes = match model.config().labels {
        LabelMode::Single => vec![argmax(&probabilities) as u32],
        LabelMode::Multi => chosen(&probabilities, options.threshold)?,
    };
    let shown = |i: u32| format!("{} ({:.3})", plain(&model.labels()[i as usize]), probabilities[i as usize]);
    say!("{}\t{sentence}", classes.into_iter().map(shown).collect::<Vec<_>>().join(", "));
    Ok(())
}
