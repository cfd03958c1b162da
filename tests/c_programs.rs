//! The C ABI from C and C++: every program of `capi-tests/` and `examples/{c,cpp}` is compiled without warnings, linked to
//! the shared and to the static library, and run.
//!
//! The compilers are `CC` and `CXX`, else the linker that Cargo uses for the target, else `cc` and `c++`. Programs run
//! under Cargo's runner for the target, if there is one, so all of this works under emulation. `SIMDRNN_CFLAGS` and
//! `SIMDRNN_RUNNER` add flags and another runner, for sanitizers and valgrind.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
/// What rustc's `native-static-libs` asks for.
const STATIC_LIBS: [&str; 7] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The value of Cargo's configuration `what` (LINKER, RUNNER) for this target.
fn cargo_target(what: &str) -> Option<String> {
    let name = format!("CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_{what}", env::consts::ARCH.to_uppercase());
    env::var(name).ok().filter(|v| !v.is_empty())
}

fn words(variable: &str) -> Vec<String> {
    env::var(variable).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// A compiler call with the flags of all of them.
fn compiler(language: &str) -> Command {
    let linker = cargo_target("LINKER").filter(|l| l.ends_with("gcc"));
    let name = if language == "c" {
        env::var("CC").ok().or(linker).unwrap_or("cc".into())
    } else {
        let linker = linker.map(|l| format!("{}g++", l.strip_suffix("gcc").unwrap()));
        env::var("CXX").ok().or(linker).unwrap_or("c++".into())
    };
    let flags = words("SIMDRNN_CFLAGS");
    let mut name = name.split_whitespace();
    let mut command = Command::new(name.next().expect("a compiler's name"));
    command.args(name).args(WARNINGS).arg("-g").arg("-I").arg(root().join("include")).args(flags);
    not_emulated(&mut command);
    command
}

/// Compilers run on the machine itself, which must not look for its libraries where an emulated program does.
fn not_emulated(tool: &mut Command) {
    if cargo_target("RUNNER").is_some() {
        tool.env_remove("LD_LIBRARY_PATH");
    }
}

/// Runs a command to its end and returns what it printed; a failure fails the test.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
    text
}

/// Runs a program that was built for the target.
fn run_program(program: &Path, arguments: &[&Path]) -> String {
    let mut runner = words("SIMDRNN_RUNNER");
    if let Some(cargo) = cargo_target("RUNNER") {
        runner.extend(cargo.split_whitespace().map(str::to_owned));
    }
    runner.push(program.to_str().unwrap().to_owned());
    // Programs that write files write them where only they do.
    let directory = workplace().join(format!("{}.directory", program.file_name().unwrap().to_str().unwrap()));
    fs::create_dir_all(&directory).unwrap();
    run(Command::new(&runner[0]).args(&runner[1..]).args(arguments).current_dir(directory))
}

/// The part of the version that names the ABI.
fn abi() -> String {
    match env!("CARGO_PKG_VERSION_MAJOR") {
        "0" => concat!("0.", env!("CARGO_PKG_VERSION_MINOR")).to_owned(),
        major => major.to_owned(),
    }
}

/// Where programs are built, with the libraries under the names they are installed with.
fn workplace() -> &'static Path {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    READY.get_or_init(|| {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("c_programs_{}", env::consts::ARCH));
        fs::create_dir_all(&dir).unwrap();
        // Cargo has built all crate types of the library for this test, beside its executable.
        let built = env::current_exe().unwrap().parent().unwrap().to_owned();
        for (from, to) in [("so", "so"), ("so", &*format!("so.{}", abi())), ("a", "a")] {
            let (from, to) = (built.join(format!("libsimdrnn.{from}")), dir.join(format!("libsimdrnn.{to}")));
            assert!(from.exists(), "{} does not exist", from.display());
            let _ = fs::remove_file(&to);
            std::os::unix::fs::symlink(from, to).unwrap();
        }
        dir
    })
}

fn sources(dir: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(dir)).unwrap().map(|e| e.unwrap().path());
    let mut paths: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == extension)).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no {extension} files in {dir}");
    paths
}

fn compile(source: &Path, standard: &str, more: &[&str]) -> PathBuf {
    let language = if standard.starts_with("c++") { "c++" } else { "c" };
    // Folders have files of the same name.
    let name = source.strip_prefix(root()).unwrap().with_extension("").display().to_string().replace('/', "-");
    let object = workplace().join(format!("{name}.{language}.o"));
    let mut command = compiler(language);
    run(command.arg(format!("-std={standard}")).args(more).arg("-c").arg(source).arg("-o").arg(&object));
    object
}

/// Links the objects to the shared and to the static library.
fn link(language: &str, objects: &[&Path]) -> [PathBuf; 2] {
    let name = objects[0].file_stem().unwrap().to_str().unwrap();
    let dir = workplace();
    [false, true].map(|is_static| {
        let program = dir.join(format!("{name}.{}", if is_static { "static" } else { "shared" }));
        let mut command = compiler(language);
        command.args(objects).arg("-o").arg(&program);
        if is_static {
            command.arg(dir.join("libsimdrnn.a")).args(STATIC_LIBS);
        } else {
            command
                .arg("-L")
                .arg(dir)
                .arg("-lsimdrnn")
                .arg(format!("-Wl,-rpath,{}", dir.display()))
                .args(["-lpthread", "-lm"]);
        }
        run(&mut command);
        program
    })
}

/// Calls `work` for all items on a few threads.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(items.len());
    let (next, results) = (Mutex::new(0..items.len()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some(i) = next.lock().unwrap().next() else { break };
                    let result = work(&items[i]);
                    results.lock().unwrap().push((i, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, r)| r).collect()
}

/// The functions that the header declares, and whether each takes an srnn_error.
fn declared() -> Vec<(String, bool)> {
    let header = read(&root().join("include/simdrnn.h"));
    let prototypes = header.split("\nSRNN_API ").skip(1).map(|p| p.split(';').next().unwrap());
    let name = |p: &str| p.split('(').next().unwrap().rsplit([' ', '*']).next().unwrap().to_owned();
    prototypes.map(|p| (name(p), p.contains("srnn_error *"))).collect()
}

/// Symbols that `nm` with `args` lists for `file`.
fn symbols(args: &[&str], file: &Path) -> BTreeSet<String> {
    let nm = env::var("NM").unwrap_or("nm".into());
    let mut nm = Command::new(nm);
    not_emulated(&mut nm);
    let listing = run(nm.args(args).arg(file));
    listing.lines().map(|l| l.split_whitespace().last().unwrap().to_owned()).collect()
}

#[test]
fn headers_compile_alone() {
    let standards = [("simdrnn.h", "c99"), ("simdrnn.h", "c11"), ("simdrnn.h", "c++17"), ("simdrnn.h", "c++20")];
    for (header, standard) in standards.into_iter().chain([("simdrnn.hpp", "c++17"), ("simdrnn.hpp", "c++20")]) {
        let language = if standard.starts_with("c++") { "c++" } else { "c" };
        let twice = workplace().join(format!("twice.{header}.{standard}.{language}"));
        fs::write(&twice, format!("#include \"{header}\"\n#include \"{header}\"\n")).unwrap();
        let mut command = compiler(language);
        command.arg(format!("-std={standard}")).args(["-Wconversion", "-fsyntax-only", "-x", language]);
        run(command.arg(twice));
    }
}

#[test]
fn the_library_exports_what_the_header_declares() {
    let header: BTreeSet<String> = declared().into_iter().map(|(name, _)| name).collect();
    let library = symbols(&["-D", "--defined-only"], &workplace().join("libsimdrnn.so"));
    assert!(header.iter().all(|name| name.starts_with("srnn_")), "{header:?}");
    let missing: Vec<_> = header.difference(&library).collect();
    let stray: Vec<_> = library.difference(&header).collect();
    assert!(missing.is_empty() && stray.is_empty(), "not exported: {missing:?}; not declared: {stray:?}");
    println!("{} functions exported", header.len());
}

#[test]
fn the_library_is_named_after_its_abi() {
    let mut readelf = Command::new(env::var("READELF").unwrap_or("readelf".into()));
    not_emulated(&mut readelf);
    let dynamic = run(readelf.args(["-d", "--wide"]).arg(workplace().join("libsimdrnn.so")));
    let soname = dynamic.lines().find(|l| l.contains("(SONAME)")).expect("a SONAME");
    assert!(soname.ends_with(&format!("[libsimdrnn.so.{}]", abi())), "{soname}");
}

#[test]
fn c_programs_pass() {
    let programs = sources("capi-tests", "c");
    let counts = in_parallel(&programs, |source| {
        let object = compile(source, "c99", &["-O1"]);
        let outputs = link("c", &[&object]).map(|program| run_program(&program, &[]));
        let counts = outputs.each_ref().map(|output| {
            let last: Vec<&str> = output.lines().last().unwrap_or("").split(' ').collect();
            let ["checks", checks, "misuses", misuses, "failures", "0"] = last[..] else {
                panic!("{}: {output}", source.display());
            };
            (checks.parse::<usize>().unwrap(), misuses.parse::<usize>().unwrap())
        });
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

#[test]
fn the_cpp_classes_work() {
    let classes = read(&root().join("include/simdrnn.hpp"));
    for (name, _) in declared() {
        let has_class = !name.ends_with("_destroy") || classes.contains(&format!("{name}>"));
        assert!(has_class, "no C++ class ends with {name}");
    }
    let flags = ["-fno-exceptions", "-fno-rtti", "-Wconversion"];
    for standard in ["c++17", "c++20"] {
        let objects = sources("capi-tests", "cpp").iter().map(|s| compile(s, standard, &flags)).collect::<Vec<_>>();
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
    let epochs = Path::new(if emulated { "2" } else { "25" });
    let text = run_both("examples/c", "text_classifier", "c", "c99", &[&data[0], &data[1], epochs]);
    let right = text.lines().find_map(|l| l.strip_prefix("test: ")?.strip_suffix(" of 202 right"));
    let right: usize = right.expect("a count of right answers").parse().unwrap();
    assert!(emulated || (right > 165 && text.contains("shop.\" is positive")), "{text}");

    for source in sources("examples/c", "c").iter().chain(&sources("examples/cpp", "cpp")) {
        let name = source.file_stem().unwrap().to_str().unwrap();
        assert!(
            ["quick_start", "train", "stream", "text_classifier"].contains(&name),
            "{name} is not run by this test"
        );
    }
}
