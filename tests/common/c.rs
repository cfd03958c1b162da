//! Compiling, linking and running C and C++ programs against the library.
//!
//! The compilers are `CC` and `CXX`, else the linker that Cargo uses for the target, else `cc` and `c++`. Programs run
//! under Cargo's runner for the target, if there is one, so all of this works under emulation. `SIMDRNN_CFLAGS` and
//! `SIMDRNN_RUNNER` add flags and another runner, for sanitizers and valgrind.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use super::declarations::functions;

pub const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// What the static library needs, as the Makefile writes it into the pkg-config file.
pub fn static_libs() -> Vec<String> {
    let makefile = read(&root().join("Makefile"));
    let line = makefile.lines().find_map(|l| l.strip_prefix("STATIC_LIBS := ")).expect("STATIC_LIBS in the Makefile");
    line.split_whitespace().map(str::to_owned).collect()
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The value of Cargo's configuration `what` (LINKER, RUNNER) for this target.
pub fn cargo_target(what: &str) -> Option<String> {
    let name = format!("CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_{what}", env::consts::ARCH.to_uppercase());
    env::var(name).ok().filter(|v| !v.is_empty())
}

pub fn words(variable: &str) -> Vec<String> {
    env::var(variable).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// A compiler call with the flags of all of them.
pub fn compiler(language: &str) -> Command {
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
pub fn not_emulated(tool: &mut Command) {
    if cargo_target("RUNNER").is_some() {
        tool.env_remove("LD_LIBRARY_PATH");
    }
}

/// Runs a command to its end and returns what it printed; a failure fails the test.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
    text
}

/// Where a program runs: programs that write files write them where only they do.
pub fn directory_of(program: &Path) -> PathBuf {
    workplace().join(format!("{}.directory", program.file_name().unwrap().to_str().unwrap()))
}

/// Runs a program that was built for the target.
pub fn run_program(program: &Path, arguments: &[&Path]) -> String {
    run_program_with(program, arguments, &[])
}

/// [`run_program`] with variables of the environment.
pub fn run_program_with(program: &Path, arguments: &[&Path], variables: &[(&str, &str)]) -> String {
    let mut runner = words("SIMDRNN_RUNNER");
    if let Some(cargo) = cargo_target("RUNNER") {
        runner.extend(cargo.split_whitespace().map(str::to_owned));
    }
    runner.push(program.to_str().unwrap().to_owned());
    let directory = directory_of(program);
    fs::create_dir_all(&directory).unwrap();
    let mut command = Command::new(&runner[0]);
    run(command.args(&runner[1..]).args(arguments).envs(variables.iter().copied()).current_dir(directory))
}

/// The part of the version that names the ABI.
pub fn abi() -> String {
    match env!("CARGO_PKG_VERSION_MAJOR") {
        "0" => concat!("0.", env!("CARGO_PKG_VERSION_MINOR")).to_owned(),
        major => major.to_owned(),
    }
}

/// Where programs are built, with the libraries under the names they are installed with.
pub fn workplace() -> &'static Path {
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

pub fn sources(dir: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(dir)).unwrap().map(|e| e.unwrap().path());
    let mut paths: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == extension)).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no {extension} files in {dir}");
    paths
}

pub fn compile(source: &Path, standard: &str, more: &[&str]) -> PathBuf {
    let language = if standard.starts_with("c++") { "c++" } else { "c" };
    // Folders have files of the same name.
    let mut name = source.strip_prefix(root()).unwrap().with_extension("").display().to_string().replace('/', "-");
    name.extend(more.iter().filter_map(|flag| flag.strip_prefix("-D")));
    let object = workplace().join(format!("{name}.{language}.o"));
    let mut command = compiler(language);
    run(command.arg(format!("-std={standard}")).args(more).arg("-c").arg(source).arg("-o").arg(&object));
    object
}

/// Links the objects to the shared and to the static library.
pub fn link(language: &str, objects: &[&Path]) -> [PathBuf; 2] {
    let name = objects[0].file_stem().unwrap().to_str().unwrap();
    let dir = workplace();
    [false, true].map(|is_static| {
        let program = dir.join(format!("{name}.{}", if is_static { "static" } else { "shared" }));
        let mut command = compiler(language);
        command.args(objects).arg("-o").arg(&program);
        if is_static {
            command.arg(dir.join("libsimdrnn.a")).args(static_libs());
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
pub fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
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
pub fn declared() -> Vec<(String, bool)> {
    functions().into_iter().map(|f| (f.name.clone(), f.is_fallible())).collect()
}

/// The header's functions with the names of their parameters.
pub fn prototypes() -> Vec<(String, Vec<String>)> {
    functions().into_iter().map(|f| (f.name, f.parameters.into_iter().map(|p| p.name).collect())).collect()
}

/// Symbols that `nm` with `args` lists for `file`.
pub fn symbols(args: &[&str], file: &Path) -> BTreeSet<String> {
    let nm = env::var("NM").unwrap_or("nm".into());
    let mut nm = Command::new(nm);
    not_emulated(&mut nm);
    let listing = run(nm.args(args).arg(file));
    // Lines of (address, kind, name); archives also have lines about their members.
    let named = listing.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().rev();
        let (name, kind) = (fields.next()?, fields.next()?);
        (kind.len() == 1).then(|| name.to_owned())
    });
    named.collect()
}
