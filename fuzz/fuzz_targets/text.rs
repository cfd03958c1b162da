//! Data files and texts: lines, labels, words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use simdrnn::text::{Dataset, LabelMode, Tokenizer, Vocab, WordCounts};

fuzz_target!(|data: &[u8]| {
    let Some((&options, data)) = data.split_first() else { return };
    let tokenizer = Tokenizer { lowercase: options & 4 > 0 };
    if let Ok(text) = std::str::from_utf8(data) {
        let mut counts = WordCounts::new();
        counts.add_text(&tokenizer, text).unwrap();
        let vocab = Vocab::from_counts(&counts, 1 + u64::from(options & 3), 2 + usize::from(options >> 4) * 8).unwrap();
        let mut ids = vec![];
        vocab.encode(text, &tokenizer, &mut ids).unwrap();
        assert_eq!(ids.len(), tokenizer.split(text).count());
        assert!(ids.iter().all(|&id| (id as usize) < vocab.len()));
        // What was written is read back.
        let again = Vocab::from_text(&vocab.to_text().unwrap()).unwrap();
        assert!((0..vocab.len() as u32).all(|id| vocab.word(id) == again.word(id)));
    }
    for mode in [LabelMode::Single, LabelMode::Multi] {
        let read = Dataset::train_from(data, "input", &tokenizer, mode, 1, 1000);
        let Ok((set, vocab)) = read else { continue };
        for i in 0..set.len() {
            assert!(set.tokens(i).iter().all(|&id| (id as usize) < vocab.len()));
            assert!(set.targets(i).iter().all(|&label| (label as usize) < set.labels().len()));
            assert!(set.token_count(i) > 0);
        }
        let again = Dataset::open_from(data, "input", &tokenizer, mode, &vocab, set.labels()).unwrap();
        assert!((0..set.len()).all(|i| set.targets(i) == again.targets(i) && set.tokens(i) == again.tokens(i)));
    }
});
