//! SHA-256 (FIPS 180-4), so that a committed file of a few lines can stand for megabytes of expected bits.

/// Primes below 312, of which the constants are made.
fn primes() -> impl Iterator<Item = u64> {
    (2..312).filter(|n| (2..*n).all(|d| n % d != 0))
}

/// The first 32 bits of the fraction of the `root`-th root of `n`, in integers: `floor(n^(1/root) * 2^32) mod 2^32`.
fn fraction(n: u64, root: u32) -> u32 {
    let scaled = |x: u128| (0..root).try_fold(1u128, |product, _| product.checked_mul(x));
    let target = u128::from(n) << (32 * root);
    let (mut low, mut high) = (0u128, 1 << 40);
    while high - low > 1 {
        let middle = (low + high) / 2;
        *(if scaled(middle).is_some_and(|p| p <= target) { &mut low } else { &mut high }) = middle;
    }
    low as u32
}

/// The digest of `data` in hexadecimal.
pub fn sha256(data: &[u8]) -> String {
    let k: Vec<u32> = primes().take(64).map(|p| fraction(p, 3)).collect();
    let mut state: Vec<u32> = primes().take(8).map(|p| fraction(p, 2)).collect();
    let mut message = data.to_vec();
    message.push(0x80);
    message.resize((message.len() + 8).next_multiple_of(64) - 8, 0);
    message.extend((8 * data.len() as u64).to_be_bytes());
    for block in message.chunks_exact(64) {
        let mut w: Vec<u32> = block.chunks_exact(4).map(|b| u32::from_be_bytes(b.try_into().unwrap())).collect();
        for i in 16..64 {
            let s0 = w[i - 15].rotate_right(7) ^ w[i - 15].rotate_right(18) ^ (w[i - 15] >> 3);
            let s1 = w[i - 2].rotate_right(17) ^ w[i - 2].rotate_right(19) ^ (w[i - 2] >> 10);
            w.push(w[i - 16].wrapping_add(s0).wrapping_add(w[i - 7]).wrapping_add(s1));
        }
        let mut v = [0u32; 8];
        v.copy_from_slice(&state);
        for (k, w) in k.iter().zip(&w) {
            let [a, b, c, d, e, f, g, h] = v;
            let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let t1 = h.wrapping_add(s1).wrapping_add((e & f) ^ (!e & g)).wrapping_add(*k).wrapping_add(*w);
            let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let t2 = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
            v = [t1.wrapping_add(t2), a, b, c, d.wrapping_add(t1), e, f, g];
        }
        state.iter_mut().zip(v).for_each(|(s, v)| *s = s.wrapping_add(v));
    }
    state.iter().map(|word| format!("{word:08x}")).collect()
}
