use super::*;
use crate::error::ErrorKind;
use crate::io::TempDir;
use crate::random::Random;
use safetensors::SafeTensors;

/// A file's bytes from a header and data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn open(header: &str, data: &[u8]) -> Result<TensorFile> {
    TensorFile::from_bytes(file(header, data), "t.safetensors")
}

/// One tensor `x` of that type from its values' bytes.
fn one<const N: usize>(dtype: &str, values: &[[u8; N]]) -> TensorFile {
    let data = values.as_flattened();
    let header =
        format!(r#"{{"x":{{"dtype":"{dtype}","shape":[{}],"data_offsets":[0,{}]}}}}"#, values.len(), data.len());
    open(&header, data).unwrap()
}

fn failure<T>(result: Result<T>) -> (ErrorKind, String) {
    let e = result.err().expect("an error");
    (e.kind(), e.message().to_owned())
}

/// Asserts an `InvalidData` whose text holds all the parts.
fn refused<T>(result: Result<T>, parts: &[&str]) {
    let (kind, text) = failure(result);
    assert_eq!(kind, ErrorKind::InvalidData, "{text}");
    for part in parts {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

#[test]
fn round_trip() {
    let dir = TempDir::new();
    let path = dir.join("model.safetensors");
    let mut random = Random::new(1, 0);
    let large: Vec<f32> = (0..10_007).map(|_| f32::from_bits(random.next_u32())).collect();
    let odd = [f32::NAN, -0.0, f32::MIN_POSITIVE / 8.0, f32::NEG_INFINITY, f32::MAX, 1.5];
    let mut w = TensorWriter::with_options(SaveOptions { allow_non_finite: true });
    w.tensor("odd", &[2, 3], &odd).unwrap();
    w.tensor("a \"large\"\none\u{0}ж", &[10_007], &large).unwrap();
    w.tensor("scalar", &[], &[3.0]).unwrap();
    w.tensor("empty", &[4, 0], &[]).unwrap();
    w.metadata("vocab", "<pad>\nkeys \"and\" tabs\t🙂").unwrap();
    w.metadata("a", "").unwrap();
    w.save(&path).unwrap();

    let f = TensorFile::open(&path).unwrap();
    assert_eq!(f.metadata("vocab"), Some("<pad>\nkeys \"and\" tabs\t🙂"));
    assert_eq!((f.metadata("a"), f.metadata("b")), (Some(""), None));
    assert_eq!(f.names().collect::<Vec<_>>(), ["a \"large\"\none\u{0}ж", "empty", "odd", "scalar"]);
    assert!(f.contains("odd") && !f.contains("od"));
    assert_eq!(f.shape("odd").unwrap(), [2, 3]);
    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let mut out = vec![0.0; 10_007];
    f.read_f32("a \"large\"\none\u{0}ж", &[10_007], Finite::Any, &mut out).unwrap();
    assert_eq!(bits(&out), bits(&large));
    f.read_f32("odd", &[2, 3], Finite::Any, &mut out[..6]).unwrap();
    assert_eq!(bits(&out[..6]), bits(&odd));
    f.read_f32("scalar", &[], Finite::Required, &mut out[..1]).unwrap();
    assert_eq!(out[0], 3.0);
    f.read_f32("empty", &[4, 0], Finite::Required, &mut []).unwrap();
}

#[test]
fn bytes_are_those_of_the_formats_own_library_and_do_not_depend_on_order() {
    use safetensors::tensor::TensorView;
    let dir = TempDir::new();
    let (a, b) = ([1.0f32, 2.0], [3.0f32; 3]);
    let build = |path: &Path, swap: bool| {
        let mut w = TensorWriter::new();
        let mut add: Vec<(&str, &[f32])> = vec![("b", &b), ("a", &a)];
        if swap {
            add.reverse();
        }
        for (name, values) in add {
            w.tensor(name, &[values.len()], values).unwrap();
        }
        w.metadata("k", "v").unwrap();
        w.save(path).unwrap();
        std::fs::read(path).unwrap()
    };
    let bytes = build(&dir.join("1"), false);
    assert_eq!(bytes, build(&dir.join("2"), true));

    let raw = |v: &[f32]| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let (ra, rb) = (raw(&a), raw(&b));
    let view = |v: &'_ [f32], r| TensorView::new(Dtype::F32, vec![v.len()], r).unwrap();
    let theirs = safetensors::serialize(
        [("b", view(&b, &rb)), ("a", view(&a, &ra))],
        Some([("k".to_owned(), "v".to_owned())].into()),
    );
    assert_eq!(bytes, theirs.unwrap());
}

#[test]
fn nothing_at_all_is_a_file() {
    let dir = TempDir::new();
    TensorWriter::new().save(dir.join("empty")).unwrap();
    let f = TensorFile::open(dir.join("empty")).unwrap();
    assert_eq!(f.names().len(), 0);
    let mut w = TensorWriter::new();
    w.metadata("only", "text").unwrap();
    w.save(dir.join("text")).unwrap();
    assert_eq!(TensorFile::open(dir.join("text")).unwrap().metadata("only"), Some("text"));
}

#[test]
fn every_float_type() {
    let mut out = [0f32; 5];
    let expected = [1.0f32, -2.5, 0.0, 65504.0, f32::from_bits(0x3380_0000)];
    one("F16", &[0x3C00u16, 0xC100, 0, 0x7BFF, 1].map(u16::to_le_bytes))
        .read_f32("x", &[5], Finite::Required, &mut out)
        .unwrap();
    assert_eq!(out, expected);
    one("F32", &expected.map(f32::to_le_bytes)).read_f32("x", &[5], Finite::Required, &mut out).unwrap();
    assert_eq!(out, expected);
    one("BF16", &[0x3F80u16, 0xC020, 0x8000, 0x0001, 0x7F7F].map(u16::to_le_bytes))
        .read_f32("x", &[5], Finite::Required, &mut out)
        .unwrap();
    assert_eq!(out.map(f32::to_bits), [0x3F80_0000, 0xC020_0000, 0x8000_0000, 0x0001_0000, 0x7F7F_0000]);
    // Rounded to nearest, ties to even; the largest f32; subnormals; below half the smallest.
    let wide = [0.1, f64::from(1u32 << 24) + 1.0, f64::from(f32::MAX), 1.4e-45, 1e-46];
    one("F64", &wide.map(f64::to_le_bytes)).read_f32("x", &[5], Finite::Required, &mut out).unwrap();
    assert_eq!(out, [0.1, 16_777_216.0, f32::MAX, f32::from_bits(1), 0.0]);
}

#[test]
fn every_integer_type() {
    let mut out = [0i64; 2];
    macro_rules! check {
        ($($dtype:literal $t:ty),*) => {$(
            one($dtype, &[<$t>::MIN, <$t>::MAX].map(<$t>::to_le_bytes)).read_i64("x", &[2], &mut out).unwrap();
            assert_eq!(out, [<$t>::MIN as i64, <$t>::MAX as i64]);
        )*};
    }
    check!("I64" i64, "I32" i32, "I16" i16, "I8" i8, "U32" u32, "U16" u16, "U8" u8);
    one("U64", &[7, i64::MAX as u64].map(u64::to_le_bytes)).read_i64("x", &[2], &mut out).unwrap();
    assert_eq!(out, [7, i64::MAX]);
    let f = one("U64", &[7, 1u64 << 63].map(u64::to_le_bytes));
    refused(f.read_i64("x", &[2], &mut out), &["'x'", "value 1 is 9223372036854775808"]);
    assert_eq!(out, [7, i64::MAX]);
}

#[test]
fn values_that_are_refused() {
    let mut out = [5f32; 3];
    for (dtype, f, text) in [
        ("F32", one("F32", &[1.0, f32::NAN, 2.0].map(f32::to_le_bytes)), "value 1 is NaN"),
        ("F64", one("F64", &[1.0, 0.0, f64::NEG_INFINITY].map(f64::to_le_bytes)), "value 2 is -inf"),
        ("F16", one("F16", &[0x7C00u16, 0, 0].map(u16::to_le_bytes)), "value 0 is inf"),
        ("BF16", one("BF16", &[0, 0xFFC0u16, 0].map(u16::to_le_bytes)), "value 1 is NaN"),
    ] {
        refused(f.read_f32("x", &[3], Finite::Required, &mut out), &["t.safetensors", "'x'", text]);
        assert_eq!(out, [5.0; 3], "{dtype}: written on failure");
        f.read_f32("x", &[3], Finite::Any, &mut out).unwrap();
        assert!(out.iter().any(|v| !v.is_finite()));
        out = [5.0; 3];
    }
    let f = one("F64", &[1.0, -1e39, 0.0].map(f64::to_le_bytes));
    refused(f.read_f32("x", &[3], Finite::Any, &mut out), &["'x'", "value 1 is -1e39", "range of f32"]);
    assert_eq!(out, [5.0; 3]);
}

#[test]
fn other_types_shapes_and_names() {
    let mut out = [0f32; 2];
    refused(
        one("I32", &[[0u8; 4]; 2]).read_f32("x", &[2], Finite::Any, &mut out),
        &["type I32", "expected F32, F64, F16 or BF16"],
    );
    refused(one("BOOL", &[[0u8]; 2]).read_f32("x", &[2], Finite::Any, &mut out), &["type BOOL"]);
    refused(one("F32", &[[0u8; 4]; 2]).read_i64("x", &[2], &mut [0; 2]), &["type F32", "an integer type"]);

    let f = one("F32", &[[0u8; 4]; 2]);
    for shape in [&[1, 2][..], &[3], &[], &[usize::MAX, 2]] {
        let (kind, text) = failure(f.read_f32("x", shape, Finite::Any, &mut out));
        assert_eq!(kind, ErrorKind::ShapeMismatch);
        assert!(text.contains(&format!("expected shape {shape:?}, found [2]")), "{text}");
    }
    assert_eq!(failure(f.read_f32("x", &[2], Finite::Any, &mut [0.0; 3])).0, ErrorKind::ShapeMismatch);
    let (kind, text) = failure(f.read_f32("weight", &[2], Finite::Any, &mut out));
    assert_eq!(kind, ErrorKind::NotFound);
    assert_eq!(text, "t.safetensors: no tensor 'weight' among its 1, such as 'x'");
}

/// Data that begin at any address, so also where nothing larger than a byte is aligned, in every order.
#[test]
fn unaligned_and_unordered_tensors() {
    for pad in 0..=16 {
        let mut data = vec![9u8; pad];
        data.extend([1.5f32, 2.5].iter().flat_map(|v| v.to_le_bytes()));
        data.extend([-0.25f64, 3.0].iter().flat_map(|v| v.to_le_bytes()));
        data.extend([7i64, -8].iter().flat_map(|v| v.to_le_bytes()));
        data.extend([0x3C00u16, 0xC000].iter().flat_map(|v| v.to_le_bytes()));
        let at = |offset: usize, len: usize| format!("[{},{}]", pad + offset, pad + offset + len);
        let header = format!(
            r#"{{"i":{{"dtype":"I64","shape":[2],"data_offsets":{}}},
            "h":{{"dtype":"F16","shape":[2],"data_offsets":{}}},
            "f":{{"dtype":"F32","shape":[2],"data_offsets":{},"extra":[null]}},
            "d":{{"dtype":"F64","shape":[2],"data_offsets":{}}},
            "a":{{"dtype":"U8","shape":[{pad}],"data_offsets":[0,{pad}]}}}}   "#,
            at(24, 16),
            at(40, 4),
            at(0, 8),
            at(8, 16),
        );
        let f = open(&header, &data).unwrap();
        for (name, expected) in [("f", [1.5f32, 2.5]), ("d", [-0.25, 3.0]), ("h", [1.0, -2.0])] {
            let mut out = [0f32; 2];
            f.read_f32(name, &[2], Finite::Required, &mut out).unwrap();
            assert_eq!(out, expected, "{name} behind {pad} bytes");
        }
        let mut out = [0i64; 2];
        f.read_i64("i", &[2], &mut out).unwrap();
        assert_eq!(out, [7, -8], "behind {pad} bytes");
    }
}

#[test]
fn hostile_headers() {
    let x = |rest: &str| format!(r#"{{"x":{{{rest}}}}}"#);
    let cases: &[(String, usize, &[&str])] = &[
        ("".into(), 0, &["header: EOF"]),
        ("[]".into(), 0, &["an object with a tensor under each name"]),
        ("{}".into(), 1, &["describes 0 bytes, the file has 1"]),
        ("{}\0\0".into(), 0, &["trailing characters"]),
        (x(r#""dtype":"F32","shape":[1],"data_offsets":[4,8]"#), 8, &["'x'", "start of 0, found [4, 8]"]),
        (x(r#""dtype":"F32","shape":[1],"data_offsets":[0,4]"#), 3, &["describes 4 bytes, the file has 3"]),
        (x(r#""dtype":"F32","shape":[1],"data_offsets":[0,4]"#), 5, &["describes 4 bytes, the file has 5"]),
        (x(r#""dtype":"F32","shape":[2],"data_offsets":[0,4]"#), 4, &["'x'", "4 bytes do not hold F32", "[2]"]),
        (x(r#""dtype":"F32","shape":[1],"data_offsets":[4,0]"#), 4, &["'x'", "[4, 0]"]),
        (x(r#""dtype":"F4","shape":[3],"data_offsets":[0,1]"#), 1, &["'x'", "do not hold F4"]),
        (
            x(r#""dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]"#),
            0,
            &["'x'", "do not hold F32"],
        ),
        (x(r#""dtype":"F32","shape":[-1],"data_offsets":[0,4]"#), 4, &["'x'", "-1"]),
        (x(r#""dtype":"F32","shape":[1.0],"data_offsets":[0,4]"#), 4, &["'x'", "1.0"]),
        (x(r#""dtype":"F32","shape":[1],"offsets":[0,4]"#), 4, &["'x'", "data_offsets"]),
        (x(r#""dtype":"f32","shape":[1],"data_offsets":[0,4]"#), 4, &["'x'", "f32"]),
        (x(r#""dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551616]"#), 4, &["'x'"]),
        (r#"{"__metadata__":{"a":1}}"#.into(), 0, &["__metadata__", "string"]),
        (r#"{"__metadata__":{"a":"","a":""}}"#.into(), 0, &["__metadata__", "'a' appears twice"]),
        (r#"{"__metadata__":{},"__metadata__":{}}"#.into(), 0, &["__metadata__", "appears twice"]),
        (
            r#"{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#
                .into(),
            2,
            &["'x'", "twice"],
        ),
        (
            r#"{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"y":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
                .into(),
            1,
            &["'y'", "start of 1, found [0, 1]"],
        ),
        (format!(r#"{{"x":{}"#, "[".repeat(100_000)), 0, &["header"]),
    ];
    for (header, data, parts) in cases {
        refused(open(header, &vec![0; *data]), &[&["t.safetensors"], *parts].concat());
    }
    let bytes = |n: u64| n.to_le_bytes().into_iter().chain(*b"{}").collect::<Vec<u8>>();
    refused(TensorFile::from_bytes(bytes(u64::MAX), "t"), &["header length", "18446744073709551615"]);
    refused(TensorFile::from_bytes(bytes(100_000_000), "t"), &["expected 100000000 bytes, the file has 2"]);
    let mut bad = file("{\"é\":1}", &[]);
    bad[10] = 0xFF;
    refused(TensorFile::from_bytes(bad, "t"), &["expected UTF-8, byte 2"]);
    // A long name leaves room for what is wrong.
    let long = format!(r#"{{"{}":{{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}}}"#, "n".repeat(100_000));
    refused(open(&long, &[0; 5]), &["start of 0, found [1, 5]"]);
}

#[test]
fn truncated_anywhere() {
    let dir = TempDir::new();
    let path = dir.join("whole");
    let values = vec![1.25f32; 3000];
    let mut w = TensorWriter::new();
    w.tensor("first", &[30, 100], &values).unwrap();
    w.tensor("second", &[1], &values[..1]).unwrap();
    w.metadata("k", "text").unwrap();
    w.save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let cuts = (0..=header).chain((header..whole.len()).step_by(97)).chain([whole.len() - 1]);
    for cut in cuts {
        refused(TensorFile::from_bytes(whole[..cut].to_vec(), "cut.safetensors"), &["cut.safetensors"]);
    }
    std::fs::write(&path, &whole[..header + 5]).unwrap();
    refused(TensorFile::open(&path), &["whole", "describes 12004 bytes, the file has 5"]);
}

/// Headers with random bytes changed: no panic, and what is accepted is what the format's own library accepts.
#[test]
fn mutated_headers() {
    let header = br#"{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}}"#;
    let mut random = Random::new(11, 0);
    let (mut accepted, mut rejected) = (0, 0);
    for _ in 0..20_000 {
        let mut text = header.to_vec();
        for _ in 0..1 + random.below(2) {
            let at = random.below(text.len() as u32) as usize;
            match random.below(3) {
                0 => text[at] = random.next_u32() as u8,
                1 => text[at] = text[random.below(text.len() as u32) as usize],
                _ => drop(text.remove(at)),
            }
        }
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(&text);
        bytes.extend([0; 9]);
        let theirs = SafeTensors::deserialize(&bytes).map(|f| f.len());
        match TensorFile::from_bytes(bytes.clone(), "m") {
            Ok(f) => {
                assert_eq!(f.names().len(), theirs.unwrap());
                accepted += 1;
            }
            Err(_) => rejected += 1,
        }
    }
    assert!(accepted > 500 && rejected > 5000, "{accepted} {rejected}");
}

#[test]
fn places_that_cannot_be_read() {
    let dir = TempDir::new();
    for path in [dir.join("absent.safetensors"), dir.0.clone()] {
        let (kind, text) = failure(TensorFile::open(&path));
        assert_eq!(kind, ErrorKind::Io);
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    }
}

#[test]
fn a_failed_save_keeps_the_old_file() {
    let dir = TempDir::new();
    let (file, values) = (dir.join("model"), [1f32, 2.0]);
    let mut w = TensorWriter::new();
    w.tensor("x", &[2], &values).unwrap();
    w.save(&file).unwrap();
    let old = std::fs::read(&file).unwrap();
    assert_eq!(failure(w.save(file.join("below"))).0, ErrorKind::Io);
    assert_eq!(failure(w.save(&dir.0)).0, ErrorKind::InvalidArgument);
    w.metadata("huge", &"x".repeat(MAX_HEADER)).unwrap();
    refused(w.save(&file), &["model", "the format allows 100000000"]);
    assert_eq!(std::fs::read(&file).unwrap(), old);
    assert_eq!(dir.names(), ["model"]);
}

#[test]
fn tensors_that_cannot_be_added() {
    let values = [0f32; 6];
    let mut w = TensorWriter::new();
    w.tensor("x", &[2, 3], &values).unwrap();
    assert_eq!(failure(w.tensor("x", &[6], &values)).0, ErrorKind::InvalidArgument);
    assert_eq!(failure(w.tensor(METADATA, &[6], &values)).0, ErrorKind::InvalidArgument);
    assert_eq!(failure(w.tensor("y", &[2, 2], &values)).0, ErrorKind::ShapeMismatch);
    assert_eq!(failure(w.tensor("y", &[usize::MAX, 6], &values)).0, ErrorKind::SizeOverflow);
    w.metadata("k", "1").unwrap();
    assert_eq!(failure(w.metadata("k", "2")).0, ErrorKind::InvalidArgument);
}

/// Files that PyTorch wrote.
#[test]
fn golden_files_open() {
    let cases = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/cases")).unwrap();
    let mut files = 0;
    for case in cases {
        let f = TensorFile::open(case.unwrap().path()).unwrap();
        assert!(f.metadata("config").unwrap().starts_with('{'));
        for name in f.names() {
            let shape = f.shape(name).unwrap();
            let mut out = vec![0.0; shape.iter().product()];
            if f.read_i64(name, shape, &mut vec![0; out.len()]).is_err() {
                f.read_f32(name, shape, Finite::Required, &mut out).unwrap();
                assert!(out.iter().any(|&v| v != 0.0), "{name}");
            }
        }
        files += 1;
    }
    assert!(files > 40);
}
