//! Data files and texts: lines, columns, labels, words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use simdrnn::text::{Column, Dataset, DatasetOptions, LabelMode, Tokenizer, Vocab, VocabOptions, WordCounts};

fuzz_target!(|data: &[u8]| {
    let Some((&[options, file], data)) = data.split_first_chunk() else { return };
    let tokenizer = Tokenizer { lowercase: options & 4 > 0, nfc: options & 8 > 0 };
    if let Ok(text) = std::str::from_utf8(data) {
        let mut counts = WordCounts::new(&tokenizer);
        counts.add_text(text).unwrap();
        let vocab = Vocab::from_counts(&counts, 1 + u64::from(options & 3), 2 + usize::from(options >> 4) * 8).unwrap();
        let mut ids = vec![];
        vocab.encode(text, &mut ids).unwrap();
        assert!(tokenizer.nfc || ids.len() == tokenizer.split(text).count());
        assert!(ids.iter().all(|&id| (id as usize) < vocab.len()));
        // What was written is read back.
        let again = Vocab::from_text(&vocab.to_text().unwrap()).unwrap();
        assert!((0..vocab.len() as u32).all(|id| vocab.word(id) == again.word(id)));
        assert_eq!(again.tokenizer(), &tokenizer);
    }
    let mut reading = DatasetOptions {
        delimiter: if file & 1 > 0 { b',' } else { b'\t' },
        quotes: file & 2 > 0,
        header: file & 4 > 0,
        skip_bad_lines: file & 8 > 0,
        max_tokens: Some(usize::from(file >> 6)).filter(|&n| n > 0),
        ..DatasetOptions::default()
    };
    if file & 16 > 0 {
        (reading.label, reading.text) = (Column::Index(1), Column::Index(0));
    }
    let words = VocabOptions { tokenizer, min_count: 1, max_size: 1000 };
    for mode in [LabelMode::Single, LabelMode::Multi] {
        reading.mode = mode;
        let Ok((set, vocab)) = Dataset::train_from(data, "input", &reading, &words) else { continue };
        for i in 0..set.len() {
            assert!(set.tokens(i).iter().all(|&id| (id as usize) < vocab.len()));
            assert!(set.targets(i).iter().all(|&label| (label as usize) < set.labels().len()));
            assert!(set.token_count(i) > 0 && reading.max_tokens.is_none_or(|max| set.token_count(i) <= max));
        }
        assert!(set.label_counts().unwrap().iter().all(|&n| n > 0));
        let again = Dataset::open_from(data, "input", &reading, &vocab, set.labels()).unwrap();
        assert_eq!((again.len(), again.summary().skipped_lines), (set.len(), set.summary().skipped_lines));
        assert!((0..set.len()).all(|i| set.targets(i) == again.targets(i) && set.tokens(i) == again.tokens(i)));
    }
});
