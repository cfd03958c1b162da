//! No option of the C interface goes nowhere: for every field of every struct and every scalar argument that the header
//! declares, `capi-tests/` has a line that names it and compares results with another value (`capi-tests/effects.h`). The
//! programs themselves run in `tests/c_programs.rs`.
#![cfg(all(feature = "capi", feature = "text", feature = "vectors"))]
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeSet;

use common::c::{read, sources};
use common::declarations::{Function, Variable, functions, structs};

/// Whether the parameter is a number of its own, not the length of an array or the room for a text beside it, whose other
/// values are refused.
fn is_scalar(function: &Function, parameter: &Variable) -> bool {
    let is_length_of = |p: &Variable| {
        let end = if p.ty == "char *" { "_size" } else { "_len" };
        p.is_pointer() && parameter.name == format!("{}{end}", p.name)
    };
    !parameter.is_pointer() && !function.parameters.iter().any(is_length_of)
}

/// What the header has: pairs of an owner and its field or argument.
fn declared() -> BTreeSet<(String, String)> {
    let functions = functions();
    let arguments = functions.iter().flat_map(|f| {
        let scalars = f.parameters.iter().filter(|p| is_scalar(f, p));
        scalars.map(|p| (f.name.clone(), p.name.clone()))
    });
    let fields =
        structs().into_iter().flat_map(|(name, fields)| fields.into_iter().map(move |f| (name.clone(), f.name)));
    arguments.chain(fields).collect()
}

/// The pairs that the programs' lines name.
fn tested() -> BTreeSet<(String, String)> {
    let macros = ["FIELD(", "RESERVED(", "LENGTH(", "ARGUMENT(", "OUTPUT(", "ZEROED("];
    let texts: Vec<String> = sources("capi-tests", "c").iter().map(|p| read(p)).collect();
    let named = texts.iter().flat_map(|t| t.lines()).filter_map(|line| {
        let at = macros.iter().find_map(|m| line.find(m).filter(|at| is_start(&line[..*at])).map(|at| at + m.len()))?;
        let mut names = line[at..].split(',').map(str::trim);
        Some((names.next()?.to_owned(), names.next()?.to_owned()))
    });
    named.collect()
}

/// Whether a macro's name begins after this.
fn is_start(before: &str) -> bool {
    !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

#[test]
fn every_option_has_an_effect_that_is_checked() {
    let (declared, tested) = (declared(), tested());
    let missing: Vec<_> = declared.difference(&tested).collect();
    assert!(missing.is_empty(), "no FIELD, RESERVED, LENGTH, ARGUMENT, OUTPUT or ZEROED names {missing:?}");
    let unknown: Vec<_> = tested.difference(&declared).filter(|(owner, _)| owner.starts_with("srnn_")).collect();
    assert!(unknown.is_empty(), "the header does not have {unknown:?}");
    let arguments = declared.iter().filter(|(owner, _)| functions().iter().any(|f| f.name == *owner)).count();
    println!("{arguments} scalar arguments and {} fields, each with a check of its effect", declared.len() - arguments);
}
