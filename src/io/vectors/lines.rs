//! Lines of text formats: words and numbers.

pub(super) fn is_space(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

/// The two counts of a header line.
pub(super) fn header(line: &[u8]) -> Option<(u64, usize)> {
    let mut fields = line.split(|&b| is_space(b)).filter(|f| !f.is_empty());
    let (count, dim) = (integer(fields.next()?)?, integer(fields.next()?)?);
    fields.next().is_none().then_some(())?;
    Some((count, usize::try_from(dim).ok()?))
}

/// Whether a line has two whole numbers, of which one is no count.
pub(super) fn is_like_header(line: &[u8]) -> bool {
    let mut fields = line.split(|&b| is_space(b)).filter(|f| !f.is_empty());
    let is_whole = |f: &[u8]| {
        let digits = f.strip_prefix(b"-").or_else(|| f.strip_prefix(b"+")).unwrap_or(f);
        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
    };
    fields.next().is_some_and(is_whole) && fields.next().is_some_and(is_whole) && fields.next().is_none()
}

/// Whether the last field of several may be meant as a number: decimal commas, what stands for nothing.
pub(super) fn means_number(line: &[u8]) -> bool {
    let (start, end) = last_field(line);
    let field = &line[start..end];
    let has_digits = field.iter().any(u8::is_ascii_digit) && field.iter().all(|b| b"0123456789+-.,eE_'".contains(b));
    let nothing: [&[u8]; 6] = [b"na", b"n/a", b"nan", b"null", b"none", b"inf"];
    start > 0 && (has_digits || nothing.iter().any(|n| field.eq_ignore_ascii_case(n)))
}

/// Whether a word with spaces ends with what a vector has: a number with a point or an exponent.
pub(super) fn ends_with_value(word: &[u8]) -> bool {
    let (start, end) = last_field(word);
    let field = &word[start..end];
    let is_value = field.iter().any(u8::is_ascii_digit) && field.iter().any(|b| b".eE".contains(b));
    start > 0 && is_value && number(field).is_some()
}

pub(super) fn integer(field: &[u8]) -> Option<u64> {
    let digits = field.iter().all(u8::is_ascii_digit);
    str::from_utf8(field).ok().filter(|_| digits)?.parse().ok()
}

pub(super) fn number(field: &[u8]) -> Option<f32> {
    str::from_utf8(field).ok()?.parse().ok()
}

/// Where the last field of `line` starts, without the separators at its end; its end.
pub(super) fn last_field(line: &[u8]) -> (usize, usize) {
    let end = line.iter().rposition(|&b| !is_space(b)).map_or(0, |i| i + 1);
    let start = line[..end].iter().rposition(|&b| is_space(b)).map_or(0, |i| i + 1);
    (start, end)
}

/// How many fields at the end of `line` are numbers, the first field not among them.
pub(super) fn trailing_numbers(line: &[u8]) -> usize {
    let (mut rest, mut count) = (line, 0);
    loop {
        let (start, end) = last_field(rest);
        if start == 0 || number(&rest[start..end]).is_none() {
            return count;
        }
        (rest, count) = (&rest[..start], count + 1);
    }
}

/// The word of a line that ends with `dim` fields, and where those start. The word may contain spaces.
pub(super) fn split(line: &[u8], dim: usize) -> Option<(&[u8], &[u8])> {
    let mut rest = line;
    for _ in 0..dim {
        let (start, _) = last_field(rest);
        if start == 0 {
            return None;
        }
        rest = &rest[..start];
    }
    let word = rest.iter().rposition(|&b| !is_space(b)).map_or(0, |i| i + 1);
    (word > 0).then(|| (&line[..word], &line[rest.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_from_the_right() {
        assert_eq!(split(b". . . 1 2", 2), Some((&b". . ."[..], &b"1 2"[..])));
        assert_eq!(split(b"a\t1  2 ", 2), Some((&b"a"[..], &b"1  2 "[..])));
        assert_eq!(split(b"1 2", 2), None);
        assert_eq!(split(b" 1 2", 2), None);
        assert_eq!(split(b"", 1), None);
        assert_eq!((trailing_numbers(b"1 2 3"), trailing_numbers(b". . 1 -2e-3 "), trailing_numbers(b"")), (2, 2, 0));
        assert_eq!(
            (header(b"3 4"), header(b"3 4 "), header(b"3 x"), header(b"-3 4")),
            (Some((3, 4)), Some((3, 4)), None, None)
        );
    }
}
