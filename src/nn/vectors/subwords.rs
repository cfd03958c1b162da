//! fastText's subwords (Bojanowski et al. 2017): the n-grams of `<word>`, hashed into buckets.

/// Which n-grams a word has, and in which bucket each falls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NGrams {
    /// Characters (code points) of the shortest.
    pub(crate) minn: i32,
    /// And of the longest; 0: there are none.
    pub(crate) maxn: i32,
    /// Not 0.
    pub(crate) bucket: u32,
}

impl NGrams {
    /// The one word of a dictionary that has no subwords.
    pub(crate) const END_OF_SENTENCE: &[u8] = b"</s>";

    /// Calls `each` with the bucket of every n-gram of `<word>`, in fastText's order: by start, then by length. The first
    /// and the last character alone are none. A character starts at each byte that is no UTF-8 continuation, so words that
    /// are not UTF-8 have n-grams too.
    pub(crate) fn for_each(&self, word: &[u8], mut each: impl FnMut(u32)) {
        let byte = |i: usize| match i {
            0 => b'<',
            i if i <= word.len() => word[i - 1],
            _ => b'>',
        };
        let (len, continues) = (word.len() + 2, |i: usize| byte(i) & 0xC0 == 0x80);
        for start in (0..len).filter(|&i| !continues(i)) {
            // FNV-1a, but for bytes that are taken as signed.
            let mut hash = 2_166_136_261u32;
            let (mut end, mut n) = (start, 1);
            while end < len && n <= self.maxn {
                loop {
                    hash = (hash ^ byte(end) as i8 as u32).wrapping_mul(16_777_619);
                    end += 1;
                    if end == len || !continues(end) {
                        break;
                    }
                }
                if n >= self.minn && !(n == 1 && (start == 0 || end == len)) {
                    each(hash % self.bucket);
                }
                n += 1;
            }
        }
    }
}

/// The vectors of buckets.
pub(crate) struct Subwords {
    ngrams: NGrams,
    dim: usize,
    /// The buckets that are here, ascending; none: all.
    pub(crate) ids: Option<Vec<u32>>,
    pub(crate) values: Vec<f32>,
    /// Whether the model has no other buckets than those here.
    pub(crate) pruned: bool,
}

impl Subwords {
    /// The buckets of `ids`, or all.
    pub(crate) fn new(ngrams: NGrams, dim: usize, ids: Option<Vec<u32>>, values: Vec<f32>) -> Self {
        Self { ngrams, dim, ids, values, pruned: false }
    }

    /// Characters of the longest n-gram.
    pub(crate) fn longest(&self) -> usize {
        self.ngrams.maxn.max(0) as usize
    }

    fn row(&self, id: u32) -> Option<&[f32]> {
        let place = match &self.ids {
            None => id as usize,
            Some(ids) => ids.binary_search(&id).ok()?,
        };
        self.values.get(place * self.dim..)?.get(..self.dim)
    }

    /// Adds the vectors of the word's n-grams to `out`, in order; how many there are, or none where one is not here that the
    /// model has.
    pub(crate) fn add(&self, word: &[u8], out: &mut [f32]) -> Option<usize> {
        let mut count = Some(0);
        self.ngrams.for_each(word, |id| match self.row(id) {
            Some(row) => {
                out.iter_mut().zip(row).for_each(|(o, v)| *o += v);
                count = count.map(|n| n + 1);
            }
            None if self.pruned => {}
            None => count = None,
        });
        count
    }

    /// The vector of a word that the dictionary does not have; `false`, with `out` as it was, where it has no n-grams or
    /// one of them is not here that the model has.
    pub(crate) fn vector(&self, word: &[u8], out: &mut [f32]) -> bool {
        let (mut count, mut here) = (0usize, true);
        self.ngrams.for_each(word, |id| {
            let found = self.row(id).is_some();
            count += usize::from(found);
            here &= found || self.pruned;
        });
        if count == 0 || !here || word == NGrams::END_OF_SENTENCE {
            return false;
        }
        out.fill(0.0);
        self.add(word, out);
        let scale = (1.0 / count as f64) as f32;
        out.iter_mut().for_each(|v| *v *= scale);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(word: &str, n: NGrams) -> Vec<u32> {
        let chars: Vec<char> = format!("<{word}>").chars().collect();
        let mut ids = Vec::new();
        for i in 0..chars.len() {
            for len in 1..=n.maxn as usize {
                if i + len <= chars.len() && len >= n.minn as usize && !(len == 1 && (i == 0 || i + 1 == chars.len())) {
                    let gram: String = chars[i..i + len].iter().collect();
                    let hash = gram
                        .bytes()
                        .fold(2_166_136_261u32, |h, b| (h ^ i32::from(b as i8) as u32).wrapping_mul(16_777_619));
                    ids.push(hash % n.bucket);
                }
            }
        }
        ids
    }

    #[test]
    fn n_grams_are_those_of_the_paper() {
        for word in ["where", "кот", "a", "", "日本語", "naïve"] {
            for (minn, maxn) in [(3, 6), (1, 1), (1, 4), (2, 2), (0, 3)] {
                let n = NGrams { minn, maxn, bucket: 1000 };
                let mut ids = Vec::new();
                n.for_each(word.as_bytes(), |id| ids.push(id));
                assert_eq!(ids, slow(word, n), "{word} {minn} {maxn}");
            }
        }
        NGrams { minn: 3, maxn: 0, bucket: 1 }.for_each(b"where", |_| panic!("maxn = 0 has none"));
    }
}
