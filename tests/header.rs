//! `include/simdrnn.h` is what cbindgen makes of `src/capi`, one section a file. `SIMDRNN_BLESS=1` rewrites it.
#![cfg(all(feature = "capi", feature = "text", feature = "vectors"))]

use std::fs;
use std::path::{Path, PathBuf};

/// The header's sections: the files of `src/capi` with exported functions, in reading order, types before their use.
const SECTIONS: [&str; 30] = [
    "version",
    "error",
    "isa",
    "pool",
    "rnn",
    "session",
    "embedding",
    "train",
    "flow",
    "forward",
    "state",
    "truncated",
    "stream",
    "dense",
    "activation",
    "dropout",
    "loss",
    "clip",
    "optimizer",
    "step",
    "tensors",
    "vocab",
    "dataset",
    "classifier",
    "modules",
    "trainer",
    "metrics",
    "vectors",
    "neighbours",
    "pretrained",
];

/// Columns of a line.
const WIDTH: usize = 120;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The `//!` comment of a file, as a C comment with its title underlined.
fn introduction(source: &str) -> String {
    let mut lines = source.lines().map_while(|l| l.strip_prefix("//!")).map(|l| l.strip_prefix(' ').unwrap_or(l));
    let title = lines.next().and_then(|l| l.strip_prefix("# ")).expect("a section starts with its title");
    let mut text = format!("/* {}\n * {title}\n", "-".repeat(100));
    for line in lines {
        text += &format!(" * {line}").replace(" * \n", " *\n");
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text + " */\n"
}

fn section(config: &cbindgen::Config, name: &str) -> String {
    let path = root().join(format!("src/capi/{name}.rs"));
    let source = read(&path);
    let mut config = config.clone();
    (config.header, config.after_includes, config.trailer) = (None, None, None);
    // Also what no function of this file names: enumerations come in as int32_t, and srnn_error belongs to all files.
    let types = source.lines().filter_map(|l| l.strip_prefix("pub enum ").or(l.strip_prefix("pub struct ")));
    config.export.include = types.map(|l| l.split([' ', '(']).next().unwrap().to_owned()).collect();
    let bindings = cbindgen::Builder::new().with_config(config).with_src(&path).generate().expect(name);
    let mut out = Vec::new();
    bindings.write(&mut out);
    format!("{}\n{}\n", introduction(&source), tidy(String::from_utf8(out).unwrap().trim()))
}

/// Short comments on one line, prototypes in lines of full width, and types by their plain names.
fn tidy(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let indent = &line[..line.len() - line.trim_start().len()];
        if line.trim() == "/**" {
            let comment: Vec<&str> = lines.by_ref().take_while(|l| l.trim() != "*/").map(str::trim).collect();
            match comment[..] {
                [one] if one.len() + indent.len() + 5 <= WIDTH => {
                    out += &format!("{indent}/** {} */\n", one.trim_start_matches("* "));
                }
                _ => {
                    out += &format!("{indent}/**\n");
                    comment.iter().for_each(|l| out += &format!("{indent} {l}\n"));
                    out += &format!("{indent} */\n");
                }
            }
        } else if line.starts_with("SRNN_API") {
            let mut words = line.to_owned();
            while !words.ends_with(';') {
                words = format!("{words} {}", lines.next().expect("a prototype ends").trim());
            }
            // Before all else, where the standards want attributes.
            let must_use = if words.starts_with("SRNN_API srnn_status ") { "SRNN_MUST_USE " } else { "" };
            out += &wrap(&format!("{must_use}{}", words.replace("struct ", "")));
        } else {
            out += line;
            out.push('\n');
        }
    }
    out
}

/// A prototype in lines of at most [`WIDTH`], broken after commas.
fn wrap(prototype: &str) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for piece in prototype.split_inclusive(", ") {
        if line.len() + piece.trim_end().len() > WIDTH {
            out += line.trim_end();
            out += "\n";
            line = "    ".to_owned();
        }
        line += piece;
    }
    out + &line + "\n"
}

fn header() -> String {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml");
    let part = |text: &Option<String>| text.as_deref().unwrap_or_default().trim().to_owned();
    let mut text = part(&config.header);
    text += "\n\n#ifndef SIMDRNN_H\n#define SIMDRNN_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n";
    text += &part(&config.after_includes);
    for name in SECTIONS {
        text += "\n\n";
        text += section(&config, name).trim_end();
    }
    text + "\n\n" + &part(&config.trailer) + "\n\n#endif /* SIMDRNN_H */\n"
}

#[test]
fn the_header_is_up_to_date() {
    let path = root().join("include/simdrnn.h");
    let fresh = header();
    if std::env::var_os("SIMDRNN_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &fresh).unwrap();
    }
    let committed = read(&path);
    if let Some((n, (a, b))) = committed.lines().zip(fresh.lines()).enumerate().find(|(_, (a, b))| a != b) {
        panic!("include/simdrnn.h is out of date from line {}: '{a}', expected '{b}'", n + 1);
    }
    assert!(committed == fresh, "include/simdrnn.h is out of date: another length");
}

#[test]
fn every_file_with_exports_is_a_section() {
    for entry in fs::read_dir(root().join("src/capi")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert_eq!(read(&path).contains("no_mangle"), SECTIONS.contains(&name), "{name}");
    }
}
