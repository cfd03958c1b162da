//! The wrappers of `capi-tests/watch`: C code for every function that can fail, from its declaration.

use std::fs;
use std::path::{Path, PathBuf};

use super::c::{compile, compiler, root, run, run_program_with, workplace};
use super::declarations::{Function, Variable, functions, handles};

/// How the wrappers make a program's calls: each once, without those that are to be refused; or with all the failures that
/// can be had.
pub const WAYS: [&str; 2] = ["calm", "failing"];

/// What a watched program says of its run.
pub struct Report {
    pub output: String,
    /// Tries that ran out of memory, and those that would have ended the process.
    pub failures: usize,
    pub ended: usize,
    /// Calls that were refused twice.
    pub refusals: usize,
    /// Bytes of the program's memory that were compared.
    pub bytes: usize,
    /// Results in the digest.
    pub results: usize,
    pub digest: String,
}

/// The objects that go before the library, and what the linker must be told for it.
pub struct Watch {
    objects: [PathBuf; 2],
    flags: Vec<String>,
}

impl Watch {
    pub fn new() -> Self {
        let (source, flags) = wrappers();
        let path = workplace().join("wrappers.c");
        fs::write(&path, source).unwrap();
        let object = path.with_extension("o");
        let folder = root().join("capi-tests/watch");
        run(compiler("c").args(["-std=c99", "-O1", "-I"]).arg(&folder).arg("-c").arg(path).arg("-o").arg(&object));
        Self { objects: [compile(&folder.join("watch.c"), "c99", &["-O1"]), object], flags }
    }

    /// Builds the program for watching, linked to the shared library.
    pub fn build(&self, source: &Path) -> PathBuf {
        let object = compile(source, "c99", &["-O1", "-DWATCHED"]);
        let program = object.with_extension("watched");
        let mut linker = compiler("c");
        linker.arg(object).args(&self.objects).args(&self.flags).arg("-o").arg(&program);
        linker.arg("-L").arg(workplace()).args(["-lsimdrnn", "-lpthread", "-lm"]);
        run(linker.arg(format!("-Wl,-rpath,{}", workplace().display())));
        program
    }
}

/// Runs a watched program in one of the ways.
pub fn watch(program: &Path, way: &str) -> Report {
    let output = run_program_with(program, &[], &[("SIMDRNN_WATCH", way)]);
    let line = output.lines().find_map(|l| l.strip_prefix("watched: ")).expect("a report").to_owned();
    let words: Vec<&str> = line.split(' ').collect();
    let [_, failures, _, ended, _, refusals, _, bytes, _, results, _, digest] = words[..] else { panic!("{line}") };
    let [failures, ended, refusals, bytes, results] =
        [failures, ended, refusals, bytes, results].map(|n| n.parse().unwrap());
    Report { output, failures, ended, refusals, bytes, results, digest: digest.to_owned() }
}

/// The source of the wrappers, and what the linker must be told.
fn wrappers() -> (String, Vec<String>) {
    let fallible: Vec<Function> = functions().into_iter().filter(Function::is_fallible).collect();
    let mut source = String::from("#include \"watch.h\"\n");
    fallible.iter().for_each(|f| source.push_str(&wrapper(f)));
    let wrapped = fallible.iter().map(|f| &*f.name).chain(["pthread_create", "pthread_join"]);
    (source, wrapped.map(|name| format!("-Wl,--wrap={name}")).collect())
}

fn wrapper(function: &Function) -> String {
    let name = &function.name;
    let parameters: Vec<String> = function.parameters.iter().map(|p| format!("{} {}", p.ty, p.name)).collect();
    let parameters = parameters.join(", ");
    let mut arguments: Vec<&str> = function.parameters.iter().map(|p| &*p.name).collect();
    let pass = arguments.join(", ");
    *arguments.last_mut().unwrap() = "error == NULL ? NULL : &call.error";
    let arguments = arguments.join(", ");
    let handles = handles();
    let mut look: String =
        changed(function, &handles).iter().map(|p| format!(" see_{}({});", base(p), p.name)).collect();
    if function.parameters.iter().any(|p| base(p) == "srnn_backward_args" && p.ty.starts_with("const ")) {
        look += " see_backward(args);";
    }
    if function.parameters.iter().any(|p| base(p) == "srnn_module" && p.ty.starts_with("const ")) {
        look += " see_modules(modules, modules_len);";
    }
    let results: String = (0..function.parameters.len()).map(|i| result(&function.parameters, i, &handles)).collect();
    format!(
        "
srnn_status __real_{name}({parameters});
srnn_status __wrap_{name}({parameters});
srnn_status __wrap_{name}({parameters}) {{
  if (watch_passes()) return __real_{name}({pass});
  watch_begin(\"{name}\", __builtin_frame_address(0));
  call.look = 0;{look}
  call.seen = call.look;
  do {{
    if (watch_rehearses()) _exit(watch_verdict(__real_{name}({pass})));
    if (call.skip) continue;
    watch_arm();
    call.status = __real_{name}({arguments});
    watch_disarm();
    if (error == NULL) call.error.status = call.status;
    if (call.status == SRNN_OK) break;
    call.look = 0;{look}
  }} while (watch_again());
  if (call.status == SRNN_OK) {{
    (void)watch_again();
    watch_fold_begin();
{look}
{results}    watch_fold_end();
  }}
  return watch_end(error);
}}
"
    )
}

/// A pointer's type without `const` and `*`.
fn base(variable: &Variable) -> String {
    let words = variable.ty.replace('*', " ");
    words.split_whitespace().filter(|w| *w != "const").collect()
}

/// Handles that the function may change.
fn changed<'a>(function: &'a Function, handles: &[String]) -> Vec<&'a Variable> {
    let is_changed = |p: &&Variable| handles.contains(&base(p)) && p.ty == format!("{} *", base(p));
    function.parameters.iter().filter(is_changed).collect()
}

/// C code that folds what the call wrote through parameter `index`.
fn result(parameters: &[Variable], index: usize, handles: &[String]) -> String {
    let p = &parameters[index];
    let (name, base) = (&p.name, base(p));
    let next = parameters.get(index + 1).map_or("", |n| &*n.name);
    let has_len = next == format!("{name}_len") || next == format!("{name}_size");
    // Places that the call counted, where there may be more room.
    let count = parameters[index..].iter().find(|p| p.ty == "size_t *" && ["count", "ndim"].contains(&&*p.name));
    if name == "error" || !p.is_pointer() {
        String::new()
    } else if base == "srnn_state_out" {
        format!(
            "    if ({name} != NULL) fold({name}->h, {name}->h_len * sizeof *{name}->h), fold({name}->c, {name}->c_len * sizeof *{name}->c);\n"
        )
    } else if base == "srnn_forward_args" && p.ty.starts_with("const ") {
        "    fold_forward(args);\n".to_owned()
    } else if base == "srnn_backward_args" && p.ty.starts_with("const ") {
        "    fold_backward(args);\n".to_owned()
    } else if handles.contains(&base) {
        let is_made = p.ty == format!("{base} **");
        if is_made { format!("    if ({name} != NULL) see_{base}(*{name});\n") } else { String::new() }
    } else if p.ty == format!("{base} *const *") {
        format!("    for (size_t i = 0; i < count; ++i) fold({name}[i], lengths[i] * sizeof *{name}[i]);\n")
    } else if p.ty.ends_with("**") {
        format!("    fold(*{name}, *{next} * sizeof **{name});\n")
    } else if p.ty.starts_with("const ") {
        String::new()
    } else if has_len && base == "char" {
        format!("    if ({next} > 0) fold_text({name});\n")
    } else if let (true, Some(count)) = (has_len, count) {
        let count = &count.name;
        format!("    fold({name}, (*{count} < {next} ? *{count} : {next}) * sizeof *{name});\n")
    } else if has_len {
        format!("    fold({name}, {next} * sizeof *{name});\n")
    } else {
        format!("    if ({name} != NULL) fold({name}, sizeof *{name});\n")
    }
}
