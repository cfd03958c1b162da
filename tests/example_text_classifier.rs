//! The example that trains a text classifier, as its users run it: stopped and resumed it prints and saves what it would have
//! without; nothing is lost or overwritten; bad input is named, and ends nothing that could go on.
#![cfg(all(feature = "text", feature = "vectors"))]
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

/// Small enough that an epoch takes no time.
const SMALL: [&str; 6] = ["--hidden-size", "6", "--embedding-dim", "5", "--threads", "1"];

/// The newest of the sources' times.
fn newest(dir: &Path) -> SystemTime {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let times = entries.map(|p| if p.is_dir() { newest(&p) } else { fs::metadata(p).unwrap().modified().unwrap() });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The program. Cargo has built it for a run of all tests, but not for one of this test alone.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
        let program = target.join("examples/text_classifier");
        let sources = newest(&root.join("src")).max(newest(&root.join("examples/rust")));
        if !fs::metadata(&program).is_ok_and(|about| about.modified().unwrap() >= sources) {
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "--example", "text_classifier"]).current_dir(root);
            build.arg("--target-dir").arg(target.parent().unwrap());
            if target.ends_with("release") {
                build.arg("--release");
            }
            assert!(build.status().unwrap().success());
        }
        program
    })
}

/// A directory of the test's own, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("simdrnn-example-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(&self.0).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a run that succeeds prints.
    fn passes(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a run that fails complains about.
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeds");
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Texts whose words tell the label.
fn texts() -> String {
    let mut text = String::new();
    for i in 0..60 {
        let (label, word) = if i % 2 == 0 { ("pos", "good") } else { ("neg", "bad") };
        text += &format!("{label}\tw{} {word} w{} w{}\n", i % 7, i % 5, i % 3);
    }
    text
}

/// The lines of epochs, without their speeds.
fn epochs(printed: &str) -> Vec<String> {
    let lines = printed.lines().filter(|l| l.starts_with("epoch "));
    lines.map(|l| l.split(", ").filter(|p| !p.contains("tokens/s")).collect::<Vec<_>>().join(", ")).collect()
}

#[test]
fn a_stopped_and_resumed_run_is_the_same_by_bits() {
    let dir = Dir::new("resume");
    dir.write("train.tsv", texts());
    dir.write("test.tsv", "pos\tgood w1\nneg\tbad w2\n");
    let data = ["--train", "train.tsv", "--test", "test.tsv"];
    let config = [&SMALL[..], &data, &["--epochs", "4", "--batch-size", "8", "--freeze-epochs", "2"]].concat();
    let straight = epochs(&dir.passes(&[&config[..], &["--save", "straight"]].concat()));
    assert_eq!(straight.len(), 4);
    // Eight batches an epoch: in the middle of the first and the third, at an end, before the first, and several times.
    for stops in [&["3"][..], &["20"], &["16"], &["0"], &["5", "1", "9"]] {
        let mut printed = Vec::new();
        for (i, stop) in stops.iter().enumerate() {
            let begin =
                if i == 0 { config.clone() } else { [&data[..], &["--resume", "part", "--epochs", "4"]].concat() };
            let part = dir
                .passes(&[&begin[..], &["--save", "stopped", "--checkpoint", "part", "--stop-after", stop]].concat());
            assert!(part.contains("interrupted"), "{part}");
            printed.extend(epochs(&part));
        }
        // With threads, too.
        let resumed = dir.passes(
            &[&data[..], &["--resume", "part", "--save", "stopped", "--epochs", "4", "--threads", "2"]].concat(),
        );
        printed.extend(epochs(&resumed));
        assert_eq!(printed, straight, "{stops:?}");
        assert_eq!(dir.read("stopped"), dir.read("straight"), "{stops:?}");
        assert_eq!(dir.read("part"), dir.read("straight.checkpoint"), "{stops:?}");
    }
    // More epochs, from the end of a run.
    let more = [&config[..], &["--save", "long"]].concat();
    let more = epochs(&dir.passes(&more.iter().map(|a| if *a == "4" { "6" } else { a }).collect::<Vec<_>>()));
    let late = dir.passes(&[&data[..], &["--resume", "part", "--save", "late", "--epochs", "6"]].concat());
    assert_eq!((&more[4..], dir.read("late")), (&epochs(&late)[..], dir.read("long")));

    // Not with other texts, options of another run, or files that are none.
    dir.write("other.tsv", texts().replace("w1", "w2"));
    let e = dir.fails(&["--resume", "part", "--train", "other.tsv", "--save", "x"]);
    assert!(e.contains("other texts"), "{e}");
    for option in ["--lr=1", "--cell=gru", "--batch-size=3", "--seed=2", "--load=straight", "--nfc", "--frozen"] {
        let e = dir.fails(&[&data[..], &["--resume", "part", option]].concat());
        assert!(e.contains("cannot be used with"), "{option}: {e}");
    }
    assert!(dir.fails(&[&data[..], &["--resume", "straight", "--save", "x"]].concat()).contains("straight"));
    assert!(dir.fails(&[&data[..], &["--resume", "train.tsv", "--save", "x"]].concat()).contains("train.tsv"));
}

#[test]
fn termination_saves() {
    let dir = Dir::new("signal");
    dir.write("train.tsv", texts());
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let arguments = [&SMALL[..], &["--train", "train.tsv", "--epochs", "1000000", "--save", "model"]].concat();
        let mut child = dir.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut printed = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("epoch   2") {
            line.clear();
            assert!(printed.read_line(&mut line).unwrap() > 0);
        }
        // SAFETY: the process is a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
        let mut rest = String::new();
        printed.read_to_string(&mut rest).unwrap();
        assert!(child.wait().unwrap().success() && rest.contains("interrupted"), "{rest}");
        assert!(dir.passes(&["--load", "model", "good"]).ends_with("\tgood\n"));
        fs::remove_file(dir.0.join("model")).unwrap();
        fs::remove_file(dir.0.join("model.checkpoint")).unwrap();
    }
}

/// While a run lasts there is a checkpoint after each epoch, and more often if that is asked for.
#[test]
fn checkpoints_are_written_meanwhile() {
    let dir = Dir::new("meanwhile");
    dir.write("train.tsv", texts());
    for (minutes, first_line) in [("10", "epoch   1"), ("0.0000001", "instruction set")] {
        let mut arguments = [&SMALL[..], &["--train", "train.tsv", "--epochs", "1000000", "--save", "model"]].concat();
        arguments.extend(["--checkpoint-minutes", minutes]);
        if minutes != "10" {
            // One epoch that never ends.
            arguments.extend(["--batch-size", "1"]);
            dir.write("train.tsv", texts().repeat(2000));
        }
        let mut child = dir.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut printed = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with(first_line) {
            line.clear();
            assert!(printed.read_line(&mut line).unwrap() > 0);
        }
        while !dir.0.join("model.checkpoint").exists() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!dir.0.join("model").exists());
        let data = ["--train", "train.tsv", "--resume", "model.checkpoint", "--save", "resumed", "--stop-after", "1"];
        assert!(dir.passes(&data).contains("interrupted"));
        fs::remove_file(dir.0.join("model.checkpoint")).unwrap();
        fs::remove_file(dir.0.join("resumed")).unwrap();
    }
}

#[test]
fn nothing_is_overwritten_and_places_are_looked_at_first() {
    let dir = Dir::new("places");
    dir.write("train.tsv", texts());
    symlink("train.tsv", dir.0.join("link")).unwrap();
    fs::hard_link(dir.0.join("train.tsv"), dir.0.join("hard")).unwrap();
    fs::create_dir(dir.0.join("folder")).unwrap();
    let run = |more: &[&str]| dir.fails(&[&SMALL[..], &["--train", "train.tsv", "--epochs", "1"], more].concat());
    for path in ["train.tsv", "./train.tsv", "folder/../train.tsv", "link", "hard"] {
        for option in ["--save", "--checkpoint"] {
            let e = run(&[option, path]);
            assert!(e.contains("would overwrite --train"), "{option} {path}: {e}");
        }
    }
    assert!(run(&["--test", "hard", "--save", "link"]).contains("would overwrite"));
    assert!(run(&["--save", "x", "--checkpoint", "./x"]).contains("are the same file"));
    for (path, why) in [("folder", "no regular file"), ("none/x", "No such file"), ("train.tsv/x", "Not a directory")] {
        for option in ["--save", "--checkpoint"] {
            let e = run(&[option, path]);
            assert!(e.contains(option) && e.contains(why) && !e.contains("texts"), "{option} {path}: {e}");
        }
    }
    assert_eq!(dir.read("train.tsv"), texts().into_bytes());
    let mut names: Vec<_> = fs::read_dir(&dir.0).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["folder", "hard", "link", "train.tsv"]);
}

#[test]
fn a_loaded_model_is_trained_further() {
    let dir = Dir::new("further");
    dir.write("train.tsv", texts());
    dir.passes(&[&SMALL[..], &["--train", "train.tsv", "--epochs", "1", "--save", "model"]].concat());
    let before = dir.read("model");
    let further = ["--load", "model", "--train", "train.tsv", "--epochs", "12", "--lr", "0.02", "--save", "better"];
    let printed = epochs(&dir.passes(&further));
    let loss = |line: &str| line.split_once("loss ").unwrap().1.split(',').next().unwrap().parse::<f64>().unwrap();
    assert!(printed.len() == 12 && loss(&printed[11]) < 0.8 * loss(&printed[0]), "{printed:?}");
    assert!(dir.read("model") == before && dir.read("better") != before);
    // In place, too.
    dir.passes(&["--load", "model", "--train", "train.tsv", "--epochs", "1", "--save", "model"]);
    assert!(dir.read("model") != before);
    let e = dir.fails(&["--load", "model", "--train", "train.tsv", "--cell", "gru"]);
    assert!(e.contains("cannot be used with"), "{e}");
    dir.write("new.tsv", "pos\tgood\nmixed\tso so\n");
    let e = dir.fails(&["--load", "model", "--train", "new.tsv", "--save", "x"]);
    assert!(e.contains("new.tsv:2: the label 'mixed'"), "{e}");
}

#[test]
fn input_that_cannot_be_read_is_named_and_the_rest_goes_on() {
    let dir = Dir::new("input");
    dir.write("train.tsv", texts());
    dir.passes(
        &[&SMALL[..], &["--train", "train.tsv", "--epochs", "2", "--save", "model", "--max-tokens", "3"]].concat(),
    );
    let feed = |input: &[u8]| {
        let mut command = dir.command(&["--load", "model"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (fine, out, err) = feed(b"good\n\xFFbad\nb\xC3d\r\nbad\r\none two three four");
    assert!(!fine && err.contains("line 2: byte 1 is not UTF-8") && err.contains("line 3: byte 2"), "{err}");
    assert!(err.contains("1 texts were longer"), "{err}");
    let sentences: Vec<_> = out.lines().map(|l| l.split_once('\t').unwrap().1).collect();
    assert_eq!(sentences, ["good", "bad", "one two three four"]);
    assert!(feed(b"good\n").0 && feed(b"").0);

    // A reader that goes away ends the program, quietly.
    let mut command = dir.command(&["--load", "model"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let _ = child.stdin.take().unwrap().write_all(&b"good\n".repeat(100_000));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    // But not a training, which saves.
    let arguments = [&SMALL[..], &["--train", "train.tsv", "--epochs", "3", "--save", "alone"]].concat();
    let mut child = dir.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success() && dir.0.join("alone").exists());
}

#[test]
fn files_of_every_layout_are_read_and_described() {
    let dir = Dir::new("layout");
    let csv =
        "id,review,sentiment\n1,\"good, \"\"very\"\" good\",pos\n2,bad,neg\n3,\"so\nbad\",neg\nbroken\n4,good,pos\n";
    dir.write("reviews.csv", csv);
    let columns = ["--csv", "--label-column", "sentiment", "--text-column", "review"];
    let base = [&SMALL[..], &["--train", "reviews.csv", "--epochs", "1", "--save", "model"]].concat();
    assert!(dir.fails(&[&base[..], &columns].concat()).contains("reviews.csv:6: 1 column"));
    let output = dir.run(&[&base[..], &columns, &["--skip-bad-lines", "--max-tokens", "3"]].concat());
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("training texts by label: neg 2, pos 2"), "{out}{err}");
    assert!(
        out.contains("longer than --max-tokens: 1, 3 tokens cut") && err.contains("1 lines left out"),
        "{out}{err}"
    );
    // The columns mistaken, and a header that became a class.
    let mut swapped = String::new();
    for i in 0..12 {
        swapped += &format!("text {i}\t{}\n", ["pos", "neg"][i % 2]);
    }
    dir.write("swapped.tsv", &swapped);
    let base = [&SMALL[..], &["--train", "swapped.tsv", "--epochs", "1", "--save", "model"]].concat();
    let output = dir.run(&base);
    assert!(String::from_utf8_lossy(&output.stderr).contains("12 of 12 labels occur once"));
    dir.write("swapped.tsv", format!("text\tlabel\n{swapped}"));
    let right = ["--label-column", "2", "--text-column", "1"];
    let output = dir.run(&[&base[..], &right].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is it a --header?"));
    let output = dir.run(&[&base[..], &right, &["--header"]].concat());
    assert!(output.stderr.is_empty() && String::from_utf8_lossy(&output.stdout).contains("neg 6, pos 6"));
    // Case and form, kept with the model.
    dir.write("case.tsv", "a\tX e\u{301}\nb\tx \u{e9}\n");
    let words = |more: &[&str]| {
        let printed =
            dir.passes(&[&SMALL[..], &["--train", "case.tsv", "--epochs", "1", "--save", "case"], more].concat());
        printed.lines().find_map(|l| l.split(", ").find_map(|p| p.strip_suffix(" words")).map(str::to_owned)).unwrap()
    };
    assert_eq!([words(&[]), words(&["--keep-case"]), words(&["--nfc"])], ["5", "6", "4"]);
    // Scores of several labels depend on the threshold.
    dir.write("multi.tsv", "a,b\tx\nb\ty\na\tx y\n");
    let multi = |threshold: &str| {
        let more =
            ["--train", "multi.tsv", "--test", "multi.tsv", "--multi-label", "--epochs", "1", "--threshold", threshold];
        dir.passes(&[&SMALL[..], &more, &["--save", "multi"]].concat())
    };
    assert!(multi("0.001").contains("a: precision 0.6667, recall 1.0000, F1 0.8000, support 2"));
    assert!(multi("0.999").contains("a: precision 0.0000, recall 0.0000, F1 0.0000, support 2"));
}
