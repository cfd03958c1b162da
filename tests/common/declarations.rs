//! What the C header declares: functions with their parameters, structs with their fields. cbindgen writes it, so its form
//! is regular; what the parser does not understand fails.

use super::c::{read, root};

/// A parameter or a field: `const float *` and `x`; for an array its elements' type, and how many there are.
#[derive(Clone, Debug)]
pub struct Variable {
    pub ty: String,
    pub name: String,
    pub extent: Option<String>,
}

impl Variable {
    fn parse(text: &str) -> Self {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (text, extent) = match text.split_once('[') {
            Some((text, extent)) => (text, Some(extent.strip_suffix(']').expect("an extent").to_owned())),
            None => (&*text, None),
        };
        let at = text.rfind([' ', '*']).unwrap_or_else(|| panic!("'{text}' is no declaration")) + 1;
        Self { ty: text[..at].trim().to_owned(), name: text[at..].to_owned(), extent }
    }

    pub fn is_pointer(&self) -> bool {
        self.ty.ends_with('*')
    }
}

#[derive(Clone, Debug)]
pub struct Function {
    pub result: String,
    pub name: String,
    pub parameters: Vec<Variable>,
}

impl Function {
    /// Whether it can fail: it then takes an `srnn_error`.
    pub fn is_fallible(&self) -> bool {
        self.parameters.last().is_some_and(|p| p.name == "error")
    }
}

/// The header without comments and preprocessor lines.
fn code() -> String {
    let text = read(&root().join("include/simdrnn.h"));
    let mut code = String::new();
    let mut rest = &*text;
    while let Some((before, after)) = rest.split_once("/*") {
        code.push_str(before);
        rest = after.split_once("*/").expect("the end of a comment").1;
    }
    code.push_str(rest);
    code.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect()
}

pub fn functions() -> Vec<Function> {
    let parse = |prototype: &str| {
        let (head, parameters) = prototype.split_once(';').unwrap().0.split_once('(').unwrap();
        let head = Variable::parse(head);
        let parameters = parameters.strip_suffix(')').unwrap().split(',').filter(|p| *p != "void");
        Function { result: head.ty, name: head.name, parameters: parameters.map(Variable::parse).collect() }
    };
    code().replace("\nSRNN_MUST_USE SRNN_API ", "\nSRNN_API ").split("\nSRNN_API ").skip(1).map(parse).collect()
}

/// The structs that have fields.
pub fn structs() -> Vec<(String, Vec<Variable>)> {
    let parse = |text: &str| {
        let (name, fields) = text.split_once('{')?;
        let fields = fields.split_once('}').unwrap().0;
        let fields = fields.split(';').filter(|f| !f.trim().is_empty()).map(Variable::parse);
        (!name.contains(';')).then(|| (name.trim().to_owned(), fields.collect()))
    };
    code().split("\ntypedef struct ").skip(1).filter_map(parse).collect()
}

/// The types of handles.
pub fn handles() -> Vec<String> {
    let code = code();
    let opaque = code.split("\ntypedef struct ").skip(1).filter_map(|t| t.split_once(';'));
    opaque.filter(|(head, _)| !head.contains('{')).map(|(head, _)| head.split(' ').next().unwrap().to_owned()).collect()
}
