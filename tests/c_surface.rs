//! What the C library shows to the outside: symbols, headers, versions, what a static link needs. `.ci/abi` compares types
//! and signatures with the last release's.
//!
//! `SIMDRNN_BLESS=1 cargo test --test c_surface` rewrites `capi-tests/abi/symbols.txt`.
#![cfg(all(feature = "capi", feature = "text", feature = "vectors"))]
#![cfg(target_os = "linux")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};

use common::c::{
    WARNINGS, abi, cargo_target, compiler, declared, not_emulated, prototypes, read, root, run, run_program, sources,
    static_libs, symbols, workplace,
};

/// Compilers for `language`: the usual one, and clang where it is installed.
fn compilers(language: &str) -> Vec<Command> {
    let clang = if language == "c" { "clang" } else { "clang++" };
    let probe = |name| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    let mut all = vec![compiler(language)];
    if cargo_target("RUNNER").is_none() && probe(clang) {
        let mut command = Command::new(clang);
        command.args(WARNINGS).arg("-I").arg(root().join("include"));
        all.push(command);
    }
    all
}

/// Alone, since nothing comes before it, and included a second time.
#[test]
fn headers_compile_alone_and_twice() {
    let standards = ["c99", "c11", "c17", "c++17", "c++20"].map(|standard| ("simdrnn.h".to_owned(), standard));
    let mut headers = standards.to_vec();
    for path in [root().join("include/simdrnn.hpp")].into_iter().chain(sources("include/simdrnn", "hpp")) {
        let name = path.strip_prefix(root().join("include")).unwrap().display().to_string();
        headers.extend([(name.clone(), "c++17"), (name, "c++20")]);
    }
    let mut compilations = 0;
    for (header, standard) in headers {
        let language = if standard.starts_with("c++") { "c++" } else { "c" };
        let twice = workplace().join(format!("twice.{}.{standard}.{language}", header.replace('/', "-")));
        fs::write(&twice, format!("#include \"{header}\"\n#include \"{header}\"\n")).unwrap();
        for mut command in compilers(language) {
            command.arg(format!("-std={standard}")).args(["-Wconversion", "-fsyntax-only", "-x", language]);
            run(command.arg(&twice));
            compilations += 1;
        }
    }
    println!("{compilations} compilations of the headers");
}

/// X11, Windows and others define plain words as macros.
#[test]
fn headers_compile_after_others_macros() {
    for (header, standard) in [("simdrnn.h", "c99"), ("simdrnn.h", "c++17"), ("simdrnn.hpp", "c++17")] {
        let language = if standard.starts_with("c++") { "c++" } else { "c" };
        let source = workplace().join(format!("macros.{header}.{language}"));
        fs::write(&source, format!("#include \"macros.h\"\n#include \"{header}\"\n")).unwrap();
        for mut command in compilers(language) {
            command.arg(format!("-std={standard}")).args(["-fsyntax-only", "-x", language]);
            run(command.arg("-I").arg(root().join("capi-tests")).arg(&source));
        }
    }
}

/// A status that is thrown away is a warning, unless a program wants none.
#[test]
fn a_status_must_be_looked_at() {
    let calls = "srnn_isa_set_limit(0, NULL);";
    let text = |call: &str| format!("#include <simdrnn.h>\nvoid f(void);\nvoid f(void) {{ {call} }}\n");
    let [loose, looked_at] =
        [calls.to_owned(), format!("if ({})\n return;", calls.trim_end_matches(';'))].map(|call| text(&call));
    for standard in ["c99", "c17", "c++17"] {
        let language = if standard.starts_with("c++") { "c++" } else { "c" };
        for (name, text, flag, is_right) in [
            ("loose", &loose, "-DANY", false),
            ("loose", &loose, "-DSRNN_NO_MUST_USE", true),
            ("looked_at", &looked_at, "-DANY", true),
        ] {
            let source = workplace().join(format!("{name}.{standard}.{language}"));
            fs::write(&source, text).unwrap();
            for mut command in compilers(language) {
                command.arg(format!("-std={standard}")).args([flag, "-c", "-x", language]).arg(&source);
                command.arg("-o").arg(source.with_extension("o"));
                let output = command.output().unwrap();
                let errors = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.success(), is_right, "{command:?}: {errors}");
                assert!(is_right || errors.contains("unused") || errors.contains("nodiscard"), "{errors}");
            }
        }
    }
}

#[test]
fn exported_symbols_are_the_committed_ones() {
    let library = symbols(&["-D", "--defined-only"], &workplace().join("libsimdrnn.so"));
    let header: BTreeSet<String> = declared().into_iter().map(|(name, _)| name).collect();
    let path = root().join("capi-tests/abi/symbols.txt");
    if std::env::var_os("SIMDRNN_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, library.iter().map(|name| format!("{name}\n")).collect::<String>()).unwrap();
    }
    let committed: BTreeSet<String> = read(&path).lines().map(str::to_owned).collect();
    assert!(library.iter().all(|name| name.starts_with("srnn_")), "{library:?}");
    for (what, list) in [("the header", &header), ("capi-tests/abi/symbols.txt", &committed)] {
        let missing: Vec<_> = list.difference(&library).collect();
        let stray: Vec<_> = library.difference(list).collect();
        assert!(missing.is_empty() && stray.is_empty(), "{what}: not exported: {missing:?}; not listed: {stray:?}");
    }
    println!("{} functions exported", library.len());
}

/// A program that links the static library may define any name that is not the library's, Rust's or pulp's. Weak names
/// (memcpy) give way, and those that start with two underscores are the compiler's.
#[test]
fn the_static_library_takes_no_other_names() {
    let args = ["--defined-only", "--extern-only", "--no-weak", "--quiet"];
    let defined = symbols(&args, &workplace().join("libsimdrnn.a"));
    let declared: BTreeSet<String> = declared().into_iter().map(|(name, _)| name).collect();
    assert!(declared.is_subset(&defined));
    let foreign = ["_ZN", "_R", "rust_", "DW.", "anon.", "libpulp_", "__"];
    let stray: Vec<_> =
        defined.iter().filter(|n| !declared.contains(*n) && !foreign.iter().any(|p| n.starts_with(p))).collect();
    assert!(stray.is_empty(), "{stray:?}");
}

#[test]
fn the_library_is_named_after_its_abi() {
    let mut readelf = Command::new(std::env::var("READELF").unwrap_or("readelf".into()));
    not_emulated(&mut readelf);
    let dynamic = run(readelf.args(["-d", "--wide"]).arg(workplace().join("libsimdrnn.so")));
    let soname = dynamic.lines().find(|l| l.contains("(SONAME)")).expect("a SONAME");
    assert!(soname.ends_with(&format!("[libsimdrnn.so.{}]", abi())), "{soname}");
}

/// The macros work in the preprocessor and are this package's version.
#[test]
fn version_macros_are_the_packages() {
    let source = workplace().join("version.c");
    let [major, minor, patch] = ["MAJOR", "MINOR", "PATCH"].map(|part| format!("SRNN_VERSION_{part}"));
    let text = format!(
        "#include <simdrnn.h>\n#include <stdio.h>\n\
         #if SRNN_VERSION_NUMBER != 1000000 * {major} + 1000 * {minor} + {patch} || SRNN_VERSION_NUMBER < 1000\n#error\n#endif\n\
         int main(void) {{ return printf(\"%d.%d.%d\", {major}, {minor}, {patch}) < 5; }}\n"
    );
    fs::write(&source, text).unwrap();
    let program = workplace().join("version");
    run(compiler("c").arg("-std=c99").arg(&source).arg("-o").arg(&program));
    assert_eq!(run_program(&program, &[]), env!("CARGO_PKG_VERSION"));
}

/// What rustc asks for, what the Makefile puts into the pkg-config file, and what the README links with.
#[test]
fn a_static_link_needs_what_is_said() {
    let said: BTreeSet<String> = static_libs().into_iter().collect();
    let readme = read(&root().join("README.md"));
    let line = readme.lines().find(|l| l.starts_with("cc ") && l.contains("libsimdrnn.a")).expect("a static link");
    let mut linked: BTreeSet<String> = line.split(' ').filter(|w| w.starts_with("-l")).map(str::to_owned).collect();
    linked.insert("-lc".to_owned()); // every compiler links it by itself
    assert_eq!(linked, said);
    // The crates below link nothing of their own, so the list is the standard library's.
    let rustc = std::env::var("RUSTC").unwrap_or("rustc".into());
    let empty = workplace().join("empty.rs");
    fs::write(&empty, "").unwrap();
    let mut command = Command::new(rustc);
    not_emulated(&mut command);
    command.args(["--crate-type", "staticlib", "--print", "native-static-libs", "--target"]);
    command.arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH)).arg(&empty);
    let output = command.arg("-o").arg(workplace().join("libempty.a")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let asked = text.lines().find_map(|l| l.split_once("native-static-libs: ")).unwrap_or_else(|| panic!("{text}")).1;
    let mut asked: BTreeSet<_> = asked.split_whitespace().map(str::to_owned).collect();
    // The unwinder depends on how a program is linked: the compiler adds the right one.
    assert!(asked.remove("-lgcc_s"), "{asked:?}");
    assert_eq!(asked, said);
}

/// The fuzzer declares what it calls by itself; another signature would look like a crash of the library.
#[test]
fn the_fuzzers_declarations_are_the_headers() {
    if !root().join("fuzz").exists() {
        return println!("no fuzzers here: they are a package of their own, which the crate's package leaves out");
    }
    let target = read(&root().join("fuzz/fuzz_targets/calls.rs"));
    let header: BTreeMap<String, Vec<String>> = prototypes().into_iter().collect();
    let block = |start: &str| target.split_once(start).unwrap().1.split_once("\n}").unwrap().0;
    let blocks = [block("\nfallible! {"), block("\nunsafe extern \"C\" {")];
    let declarations: Vec<&str> = blocks.iter().flat_map(|block| block.split("\n    fn ").skip(1)).collect();
    assert!(declarations.len() > 50);
    for declaration in declarations {
        let (name, rest) = declaration.split_once('(').unwrap();
        let parameters = rest.split_once(')').unwrap().0.split(',').filter_map(|p| Some(p.split_once(':')?.0.trim()));
        assert_eq!(parameters.collect::<Vec<_>>(), header[name], "{name}");
    }
}

/// The memory that a call of every function takes, as the lines of `capi-tests/overlap.c` name it: arrays, texts, results
/// (`!`), and what handles show of theirs (`@`). Of functions that take one alone, or write none, there is nothing.
fn memory_of_calls() -> BTreeMap<String, Vec<String>> {
    let header = read(&root().join("include/simdrnn.h"));
    let code: String = header.split("/*").map(|part| part.split_once("*/").map_or(part, |(_, code)| code)).collect();
    // The pointers in structs, by the structs' names; what is opaque is not among them.
    let mut structs: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for definition in code.split("typedef struct ").skip(1).filter(|d| d.contains('{')) {
        let (name, fields) = definition.split_once(" {").unwrap();
        // Handles are no memory of the call's, but gradients show theirs.
        let fields = fields.split_once('}').unwrap().0.lines().filter(|l| l.contains('*') && !l.contains("srnn_"));
        let field = |line: &str| {
            let (kind, name) = line.rsplit_once('*').unwrap();
            format!("{}{}", name.trim_end_matches(';'), if kind.trim().starts_with("const ") { "" } else { "!" })
        };
        structs.insert(name, fields.map(field).collect());
    }
    let mut calls = BTreeMap::new();
    for prototype in code.split("SRNN_API ").skip(1).filter(|p| p.split(';').next().unwrap().ends_with("*error)")) {
        let (name, parameters) = prototype.split_once(')').unwrap().0.split_once('(').unwrap();
        let name = name.rsplit([' ', '*']).next().unwrap().to_owned();
        let mut memory = Vec::new();
        for parameter in parameters.split(',').filter(|p| p.contains('*')) {
            let (kind, what) = parameter.trim().rsplit_once('*').unwrap();
            let base = kind.trim_start_matches("const ").split([' ', '*']).next().unwrap();
            let (is_const, is_double) = (kind.starts_with("const "), kind.contains('*'));
            match base {
                "srnn_error" => (),
                "srnn_module" if is_const => memory.extend(["modules".into(), "an array of a module!".into()]),
                "srnn_module" => (),
                "srnn_state" => structs[base].iter().for_each(|f| memory.push(format!("{what}.{f}"))),
                "srnn_state_out" => structs[base].iter().for_each(|f| memory.push(format!("{what}.{f}"))),
                _ if kind.contains("*const ") => {
                    let (each, write) = if base == "char" { ("a word", "") } else { ("an array of grads", "!") };
                    memory.extend([what.to_owned(), format!("{each}{}", if is_const { "" } else { write })]);
                }
                _ if is_double => memory.push(format!("{what}!")),
                "srnn_grads" => memory.insert(0, "@grads".to_owned()),
                "srnn_embedding_grads" => drop(memory.splice(..0, ["@grads.rows".into(), "@grads.values".into()])),
                _ if structs.contains_key(base) && is_const => {
                    memory.extend(structs[base].iter().cloned());
                    if base == "srnn_backward_args" {
                        memory.insert(0, "@grads".to_owned());
                    }
                }
                _ if base.starts_with("srnn_") && !structs.contains_key(base) => (),
                _ => memory.push(format!("{what}{}", if is_const { "" } else { "!" })),
            }
        }
        let written = |m: &String| m.ends_with('!') || m.starts_with('@');
        let others = memory.iter().filter(|m| !m.starts_with('@')).count();
        if memory.iter().any(written) && memory.len() > 1 && others > 0 {
            calls.insert(name, memory);
        }
    }
    calls
}

/// Every pair of what one call takes, of which it writes one, is tried in one place.
#[test]
fn overlaps_are_tried_for_every_function() {
    let mut calls = memory_of_calls();
    // The mean squared error refuses weights.
    calls.get_mut("srnn_mse_loss").unwrap().retain(|m| m != "weight");
    let program = read(&root().join("capi-tests/overlap.c"));
    let mut tried = BTreeMap::new();
    for line in program.split("\n  PAIRS(\"").skip(1) {
        let (names, rest) = line.split_once("\",").unwrap();
        let function = rest.split(';').next().unwrap().split("srnn_").nth(1).unwrap().split('(').next().unwrap();
        tried.insert(format!("srnn_{function}"), names.split(", ").map(str::to_owned).collect::<Vec<_>>());
    }
    let missing: Vec<_> = calls.iter().filter(|(name, memory)| tried.get(*name) != Some(memory)).collect();
    assert!(missing.is_empty() && calls.len() > 50, "capi-tests/overlap.c has no such lines: {missing:#?}");
    println!("{} functions with memory that could overlap", calls.len());
}
