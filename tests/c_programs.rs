//! The C ABI from C and C++: every program of `capi-tests/` and `examples/{c,cpp}` is compiled without warnings, linked to
//! the shared and to the static library, and run. `tests/common/c.rs` says with which tools.
#![cfg(all(feature = "capi", feature = "text", feature = "vectors"))]
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::c::{
    cargo_target, compile, compiler, declared, directory_of, in_parallel, link, read, root, run, run_program, sources,
    symbols, words, workplace,
};
use common::wrappers::{Report, WAYS, Watch, watch};

/// The checks and misuse cases of a program that passed. One that says that it could not run has to be under an emulator
/// or a tool: it is named and counted, not passed over.
fn counts(source: &Path, output: &str) -> (usize, usize) {
    let last: Vec<&str> = output.lines().last().unwrap_or("").split(' ').collect();
    let ["checks", checks, "misuses", misuses, "failures", "0"] = last[..] else {
        panic!("{}: {output}", source.display());
    };
    let counts = (checks.parse().unwrap(), misuses.parse().unwrap());
    let name = source.file_stem().unwrap().to_str().unwrap();
    match output.lines().find_map(|l| l.strip_prefix("not run: ")) {
        Some(why) => {
            let permitted = !why.ends_with("are not permitted"); // what only some users may do
            assert!(is_instrumented() || !permitted, "{name} did not run: {why}");
            println!("not run: {name}: {why}");
        }
        None => assert!(counts.0 + counts.1 > 0, "{name} checks nothing: {output}"),
    }
    counts
}

/// Whether programs run in an emulator, under valgrind or with a sanitizer.
fn is_instrumented() -> bool {
    is_sanitized() || cargo_target("RUNNER").is_some() || !words("SIMDRNN_RUNNER").is_empty()
}

/// A sanitizer brings its own allocator, which does not fail.
fn is_sanitized() -> bool {
    words("CC").iter().any(|w| w.starts_with("-fsanitize"))
}

#[test]
fn c_programs_pass() {
    let programs = sources("capi-tests", "c");
    let counts = in_parallel(&programs, |source| {
        let object = compile(source, "c99", &["-O1"]);
        let outputs = link("c", &[&object]).map(|program| run_program(&program, &[]));
        let counts = outputs.each_ref().map(|output| counts(source, output));
        assert_eq!(counts[0], counts[1], "{}: shared and static differ", source.display());
        (symbols(&["-u"], &object), counts[0])
    });

    let used: BTreeSet<&String> = counts.iter().flat_map(|(symbols, _)| symbols).collect();
    let text: Vec<String> = programs.iter().map(|p| read(p)).collect();
    let misuse = |line: &&str| {
        let macros = ["REFUSED(", "IS_NULL(", "BAD_ARGUMENT(", "BAD_SHAPE(", "BAD_STATE(", "TOO_LARGE("];
        macros.iter().any(|m| line.trim_start().starts_with(m))
    };
    let misused: Vec<&str> = text.iter().flat_map(|t| t.lines().filter(misuse)).collect();
    let declared = declared();
    for (name, is_fallible) in &declared {
        assert!(used.contains(name), "no C program uses {name}");
        let call = format!("{name}(");
        assert!(!is_fallible || misused.iter().any(|l| l.contains(&call)), "no C program misuses {name}");
        let null = format!("{name}(NULL");
        let has_pointer = *is_fallible || !["version", "string", "isa_"].iter().any(|part| name.contains(part));
        assert!(
            !has_pointer || text.iter().any(|t| t.contains(&null)) || *is_fallible,
            "{name} is not tried with NULL"
        );
    }
    let sum = |f: fn(&(usize, usize)) -> usize| counts.iter().map(|(_, c)| f(c)).sum::<usize>();
    let exported = declared.len();
    let used = declared.iter().filter(|(name, _)| used.contains(name)).count();
    println!("{exported} functions exported, {used} used, {} misuse cases, {} checks", sum(|c| c.1), sum(|c| c.0));
}

/// Programs that load the library themselves.
#[test]
fn the_library_can_be_unloaded() {
    let library = workplace().join("libsimdrnn.so");
    for source in sources("capi-tests/unlinked", "c") {
        let object = compile(&source, "gnu99", &[]);
        let program = object.with_extension("program");
        run(compiler("c").arg(&object).arg("-o").arg(&program).args(["-ldl", "-lpthread"]));
        let output = run_program(&program, &[&library]);
        assert!(output.starts_with("unloaded"), "{output}");
    }
}

/// The same programs, twice, with every call watched (`capi-tests/watch`). A calm run makes each call once and leaves out
/// those that are to be refused. In a failing run the first, second, ... allocation of each call fails first, until it needs
/// no more of them, and what is refused is refused twice. Each failure is a status, for a lack of memory no other than that
/// one; it changes no byte of the program's memory and nothing that a handle shows; and all results are, by bits, those of
/// the calm run. All memory is given back, and failed saves leave no files.
#[test]
fn failed_calls_change_nothing() {
    let (mut programs, watch_of) = (sources("capi-tests", "c"), Watch::new());
    // It stands between the library and the system itself, and keeps its counts in its own memory.
    programs.retain(|p| p.file_stem().is_some_and(|name| name != "files"));
    let reports = in_parallel(&programs, |source| {
        let program = watch_of.build(source);
        let [calm, failing] = WAYS.map(|way| {
            let report = watch(&program, way);
            assert!(report.output.ends_with(" failures 0\n"), "{} {way}: {}", source.display(), report.output);
            report
        });
        assert_eq!((calm.failures, calm.refusals), (0, 0), "a calm run of {}", source.display());
        let digests = [&calm, &failing].map(|r| (r.results, &*r.digest));
        assert_eq!(digests[0], digests[1], "{}: failed calls change later results", source.display());
        let left = std::fs::read_dir(directory_of(&program)).unwrap().map(|e| e.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with(".tmp")).collect();
        assert!(left.is_empty(), "{}: failed saves left {left:?}", source.display());
        failing
    });
    // Lines of a name and a reason.
    let watch = read(&root().join("capi-tests/watch/watch.c"));
    let entry = |line: &str| Some(line.strip_prefix("    {\"srnn_")?.split_once("\", \"")?.0.to_owned());
    let may_end: Vec<String> = watch.lines().filter_map(entry).map(|name| format!("srnn_{name}")).collect();
    let texts: Vec<String> = programs.iter().map(|p| read(p)).collect();
    let declared = declared();
    let fallible: Vec<&String> =
        declared.iter().filter(|(_, is_fallible)| *is_fallible).map(|(name, _)| name).collect();
    let is_tried = |name: &str| texts.iter().any(|t| t.contains(&format!("OK({name}(")));
    let left: Vec<_> = fallible.iter().filter(|name| !is_tried(name)).collect();
    assert!(left.is_empty(), "never tried without memory: {left:?}");
    assert!(
        !may_end.is_empty() && may_end.iter().all(|n| fallible.contains(&n)),
        "what may end the process: {may_end:?}"
    );
    let sum = |f: fn(&Report) -> usize| reports.iter().map(f).sum::<usize>();
    let (functions, failures, refusals) = (fallible.len(), sum(|r| r.failures), sum(|r| r.refusals));
    assert!(is_sanitized() || (failures > 10 * functions && refusals > functions), "{failures} failures");
    println!(
        "{functions} functions: {failures} tries without memory, {} more that would have ended the process ({may_end:?}), \
         {refusals} calls refused twice; {} bytes and {} results compared",
        sum(|r| r.ended),
        sum(|r| r.bytes),
        sum(|r| r.results)
    );
}

#[test]
fn the_cpp_classes_work() {
    let classes: String = sources("include/simdrnn", "hpp").iter().map(|path| read(path)).collect();
    for (name, _) in declared() {
        let end = if name.ends_with("_destroy") { '>' } else { '(' };
        assert!(classes.contains(&format!("{name}{end}")), "{name} cannot be reached from C++");
    }
    let strict = &["-fno-exceptions", "-fno-rtti", "-Wconversion"][..];
    for (standard, flags) in [("c++17", strict), ("c++20", strict), ("c++17", &["-Wconversion"])] {
        let objects = sources("capi-tests", "cpp").iter().map(|s| compile(s, standard, flags)).collect::<Vec<_>>();
        let objects: Vec<&Path> = objects.iter().map(PathBuf::as_path).collect();
        for program in link("c++", &objects) {
            let output = run_program(&program, &[]);
            assert!(output.starts_with("checks ") && output.ends_with(" failures 0\n"), "{output}");
        }
    }
}

#[test]
fn examples_say_what_they_should() {
    let run_both = |directory: &str, name: &str, language: &str, standard: &str, arguments: &[&Path]| {
        let source = root().join(directory).join(format!("{name}.{}", if language == "c" { "c" } else { "cpp" }));
        let object = compile(&source, standard, &["-O1"]);
        let [shared, linked] = link(language, &[&object]).map(|program| run_program(&program, arguments));
        assert_eq!(shared, linked);
        shared
    };
    let quick = run_both("examples/c", "quick_start", "c", "c99", &[]);
    let lines: Vec<&str> = quick.lines().collect();
    assert_eq!(lines.len(), 3, "{quick}");
    // The same bits everywhere, so the same digits.
    assert_eq!(lines[0], "sequence 0, step 0, unit 0: -0.026755");
    assert_eq!(lines[1], "sequence 1, step 0, unit 0: -0.097839");
    assert_eq!(lines[2], "past the end of sequence 1: 0");
    assert_eq!(run_both("examples/cpp", "quick_start", "c++", "c++17", &[]), quick);

    let train = run_both("examples/c", "train", "c", "c99", &[]);
    let right = train.lines().last().unwrap().strip_suffix(" of 32 right").expect("a count of right answers");
    assert!(right.parse::<usize>().unwrap() >= 31, "{train}");

    let stream = run_both("examples/c", "stream", "c", "c99", &[]);
    let places: Vec<usize> = stream.lines().map(|l| l.find('*').expect("a star")).collect();
    assert_eq!(places.len(), 24);
    let (low, high) = (places.iter().min().unwrap(), places.iter().max().unwrap());
    assert!(high - low > 30, "no oscillation: {stream}");
    assert!(places[..12].iter().zip(&places[12..]).all(|(a, b)| a.abs_diff(*b) <= 1), "no period of 12: {stream}");

    let data = ["train", "test"].map(|part| root().join(format!("examples/data/reviews-{part}.tsv")));
    // An emulator takes minutes for what is seconds of training.
    let emulated = cargo_target("RUNNER").is_some();
    let epochs = Path::new(if emulated { "2" } else { "40" });
    let text = run_both("examples/c", "text_classifier", "c", "c99", &[&data[0], &data[1], epochs]);
    let right = text.lines().find_map(|l| l.strip_prefix("test: ")?.strip_suffix(" of 202 right"));
    let right: usize = right.expect("a count of right answers").parse().unwrap();
    // The seeds 1 to 6 give 191 to 202.
    assert!(emulated || (right > 180 && text.contains("shop.\" is positive")), "{text}");

    for source in sources("examples/c", "c").iter().chain(&sources("examples/cpp", "cpp")) {
        let name = source.file_stem().unwrap().to_str().unwrap();
        assert!(
            ["quick_start", "train", "stream", "text_classifier"].contains(&name),
            "{name} is not run by this test"
        );
    }
}
