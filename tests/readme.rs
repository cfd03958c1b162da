//! What the README shows is what the tests compile and run.

use std::path::Path;

/// The README's C program is the example that `c_programs.rs` builds and runs.
#[test]
fn the_c_program_is_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let (readme, example) = (read("README.md"), read("examples/c/quick_start.c"));
    let shown = readme.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a C block");
    assert!(shown == example, "README.md shows another program than examples/c/quick_start.c");
}
