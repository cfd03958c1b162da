//! What a file is that is not in the expected format, by its first bytes.

/// Bytes that are looked at: a tar's mark ends at 262.
pub(crate) const LOOK: usize = 512;

/// A known format of other programs: what to call it, and what to do about it.
pub(crate) struct Foreign {
    pub(crate) what: &'static str,
    pub(crate) hint: &'static str,
}

const TORCH: &str = "write its tensors with safetensors.torch.save_file(model.state_dict(), path)";
const CONVERT: &str = "convert it to safetensors";
const UNPACK: &str = "unpack it first";

/// Formats by how their files start.
const BY_START: [(&[u8], &str, &str); 19] = [
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "fetch the file with 'git lfs pull'"),
    (b"\x80\x02\x8A\x0Al\xFC\x9CF\xF9 j\xA8P\x19", "an old PyTorch checkpoint (a pickle)", TORCH),
    (b"\x80\x02", "a Python pickle, maybe an old PyTorch checkpoint", TORCH),
    (b"\x80\x03", "a Python pickle", CONVERT),
    (b"\x80\x04\x95", "a Python pickle", CONVERT),
    (b"\x80\x05\x95", "a Python pickle", CONVERT),
    (b"\x89HDF\r\n\x1A\n", "an HDF5 file, such as Keras writes", CONVERT),
    (b"GGUF", "a GGUF file", CONVERT),
    (b"\x93NUMPY", "a NumPy array (.npy)", CONVERT),
    (b"\x1F\x8B", "gzip data", UNPACK),
    (b"\xFD7zXZ\0", "xz data", UNPACK),
    (b"BZh", "bzip2 data", UNPACK),
    (b"\x28\xB5\x2F\xFD", "Zstandard data", UNPACK),
    (b"7z\xBC\xAF\x27\x1C", "a 7z archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"<!DOCTYPE", "a web page, maybe instead of a download", "fetch the file itself"),
    (b"<!doctype", "a web page, maybe instead of a download", "fetch the file itself"),
    (b"<html", "a web page, maybe instead of a download", "fetch the file itself"),
    (b"{", "a JSON text, maybe the index of several files", "give a file that holds the tensors"),
];

/// The format of a file that starts with `head`, if it is a known one.
pub(crate) fn foreign(head: &[u8]) -> Option<Foreign> {
    if let Some(&(_, what, hint)) = BY_START.iter().find(|(start, ..)| head.starts_with(start)) {
        return Some(Foreign { what, hint });
    }
    let (what, hint) = match head {
        [b'P', b'K', 3, 4, ..] => zip(head),
        [b'P', b'K', 5, 6, ..] => ("an empty zip archive", UNPACK),
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => ("a TensorFlow Lite model", CONVERT),
        _ if head.get(257..262) == Some(b"ustar") => ("a tar archive", UNPACK),
        _ if is_onnx(head) => ("an ONNX model", "write its initializers to a safetensors file"),
        _ => return None,
    };
    Some(Foreign { what, hint })
}

/// What a zip archive holds, by the name of its first member.
fn zip(head: &[u8]) -> (&'static str, &'static str) {
    let length = head.get(26..28).map_or(0, |n| usize::from(n[0]) | usize::from(n[1]) << 8);
    let name = head.get(30..).map_or(&[][..], |rest| &rest[..rest.len().min(length)]);
    match name {
        _ if name.ends_with(b"/data.pkl") || name.ends_with(b"/.format_version") => {
            ("a PyTorch checkpoint (a zip archive)", TORCH)
        }
        _ if name.ends_with(b".npy") => ("a NumPy archive (.npz)", CONVERT),
        b"metadata.json" | b"config.json" | b"model.weights.h5" => ("a zip archive, maybe Keras's", CONVERT),
        _ => ("a zip archive", UNPACK),
    }
}

/// ONNX has no mark: its first field is a small version, and then comes one of the few fields that may follow.
fn is_onnx(head: &[u8]) -> bool {
    match head {
        // The name of the program that wrote it, a text.
        [0x08, 1..=32, 0x12, length, name @ ..] => {
            name.len() >= usize::from(*length) && name[..usize::from(*length)].iter().all(u8::is_ascii_graphic)
        }
        // A domain, the graph, or the operator sets.
        [0x08, 1..=32, 0x22 | 0x3A | 0x42, 1..=255, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_named() {
        let zip = |name: &[u8]| {
            let mut bytes = b"PK\x03\x04".to_vec();
            bytes.extend([0; 22]);
            bytes.extend((name.len() as u16).to_le_bytes());
            bytes.extend([0; 2]);
            bytes.extend(name);
            bytes.extend([7; 100]);
            bytes
        };
        let mut tar = vec![0; 257];
        tar.extend(b"ustar\0");
        for (bytes, part) in [
            (zip(b"archive/data.pkl"), "PyTorch checkpoint (a zip"),
            (zip(b"model/.format_version"), "PyTorch checkpoint (a zip"),
            (zip(b"weight.npy"), "NumPy archive (.npz)"),
            (zip(b"metadata.json"), "Keras"),
            (zip(b"readme.txt"), "a zip archive"),
            (b"PK\x03\x04".to_vec(), "a zip archive"),
            (b"PK\x05\x06\0\0".to_vec(), "an empty zip"),
            (b"\x80\x02\x8A\x0Al\xFC\x9CF\xF9 j\xA8P\x19.".to_vec(), "old PyTorch checkpoint"),
            (b"\x80\x02}q\0.".to_vec(), "a Python pickle"),
            (b"\x80\x04\x95\x0B".to_vec(), "a Python pickle"),
            (b"\x89HDF\r\n\x1A\n\0".to_vec(), "HDF5"),
            (b"\x08\x07\x12\x07pytorch\x1A".to_vec(), "ONNX"),
            (b"\x08\x08:\x80\x02".to_vec(), "ONNX"),
            (b"version https://git-lfs.github.com/spec/v1\noid".to_vec(), "Git LFS pointer"),
            (b"GGUF\x03\0\0\0".to_vec(), "GGUF"),
            (b"\x93NUMPY\x01\0".to_vec(), "NumPy array"),
            (b"\x1F\x8B\x08\0".to_vec(), "gzip"),
            (b"\xFD7zXZ\0\0".to_vec(), "xz"),
            (b"BZh91AY".to_vec(), "bzip2"),
            (b"\x28\xB5\x2F\xFD\x04".to_vec(), "Zstandard"),
            (b"\x1C\0\0\0TFL3".to_vec(), "TensorFlow Lite"),
            (b"<!DOCTYPE html>".to_vec(), "web page"),
            (b"{\"weight_map\"".to_vec(), "JSON text"),
            (tar, "tar archive"),
        ] {
            let found = foreign(&bytes).map(|f| f.what);
            assert!(found.is_some_and(|what| what.contains(part)), "{bytes:?}: {found:?}, expected {part}");
        }
        for bytes in [&b""[..], b"P", b"PK", b"plain text", b"\x40\0\0\0\0\0\0\0{\"a\"", b"\x08\x07\x12\xFFabc"] {
            assert!(foreign(bytes).is_none(), "{bytes:?}");
        }
    }
}
