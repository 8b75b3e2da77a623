//! The committed declarations against the headers of this build: each constant, type, size and function becomes an
//! assertion in C, and the C compiler judges.
#![allow(unsafe_code)]
// The helpers of a test are no `#[test]` functions, where clippy allows these by itself.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::collections::HashMap;
use std::env;
use std::ffi::CStr;
use std::fmt::Write as _;
use std::fs;
use std::mem::{align_of, size_of};
use std::path::Path;
use std::process::Command;

use syn::{Expr, ForeignItem, GenericArgument, Item, ItemStruct, Lit, PathArguments, ReturnType};
use syn::{Type, UnOp};
use zmq_sys_wrap::{sodium, zmq};

const ZMQ: &str = include_str!("../src/bindings/zmq.rs");
const DRAFT: &str = include_str!("../src/bindings/draft.rs");
const SODIUM: &str = include_str!("../src/bindings/sodium.rs");

#[test]
fn libzmq_declarations_match_the_header() {
    compile("zmq", &zmq_assertions(ZMQ)).unwrap();
}

#[test]
fn libsodium_declarations_match_the_header() {
    // A header as new as the one that was declared has all of its constants; libsodium only ever adds.
    let as_new = format!(
        "SODIUM_LIBRARY_VERSION_MAJOR * 1000 + SODIUM_LIBRARY_VERSION_MINOR >= {}",
        sodium::SODIUM_LIBRARY_VERSION_MAJOR * 1000 + sodium::SODIUM_LIBRARY_VERSION_MINOR
    );
    let c = format!("#include <sodium.h>\n{}", assertions(SODIUM, &as_new));
    compile("sodium", &c).unwrap();
}

/// Their names are hidden in the stable header. Those of a later libzmq are not in an older one at all, and one has changed.
#[test]
fn draft_constants_have_the_numbers_of_the_draft_header() {
    let mut c = "#define ZMQ_BUILD_DRAFT_API\n#include <zmq.h>\n".to_owned();
    let mut count = 0;
    for line in DRAFT
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "))
    {
        let (name, value) = line.split_once(": u32 = ").unwrap();
        let value = value.trim_end_matches(';');
        let as_new = match name {
            "ZMQ_RECONNECT_STOP_AFTER_DISCONNECT" => "ZMQ_VERSION < ZMQ_MAKE_VERSION(4, 3, 5) || ",
            _ => "",
        };
        let holds = assertion(name, &format!("{as_new}{name} == {value}"));
        write!(
            c,
            "#if defined {name} || ZMQ_VERSION >= ZMQ_MAKE_VERSION(4, 3, 5)\n{holds}\n#endif\n"
        )
        .unwrap();
        count += 1;
    }
    assert!(count > 50, "{count}");
    compile("draft", &c).unwrap();
}

/// Also the proof that a build does not mix an embedded libsodium with the system's header, or the reverse.
#[test]
fn linked_libsodium_is_the_one_of_the_header() {
    // SAFETY: the function takes nothing and returns a static C string.
    let linked = unsafe { sodium::sodium_version_string() };
    // SAFETY: see above.
    let linked = unsafe { CStr::from_ptr(linked) };
    let linked = linked.to_str().unwrap();
    let c = format!(
        "#include <sodium.h>\n{}",
        assertion(
            "SODIUM_VERSION_STRING",
            &format!("__builtin_strcmp(SODIUM_VERSION_STRING, \"{linked}\") == 0")
        )
    );
    compile("sodium-version", &c).unwrap();
}

#[cfg(feature = "linked")]
#[test]
fn linked_libzmq_is_the_one_of_the_header() {
    let (mut major, mut minor, mut patch) = (0, 0, 0);
    let version = zmq_sys_wrap::Api::linked().version;
    // SAFETY: three valid pointers to int, as zmq_version(3) wants.
    unsafe { version(&mut major, &mut minor, &mut patch) };
    let c = format!(
        "#include <zmq.h>\n{}",
        assertion(
            "ZMQ_VERSION",
            &format!("ZMQ_VERSION == ZMQ_MAKE_VERSION({major}, {minor}, {patch})")
        )
    );
    compile("zmq-version", &c).unwrap();
}

#[test]
fn altered_declarations_are_refused() {
    for (tag, culprit, from, to) in [
        (
            "constant",
            "ZMQ_CURVE_SERVER",
            "ZMQ_CURVE_SERVER: u32 = 47",
            "ZMQ_CURVE_SERVER: u32 = 48",
        ),
        (
            "absent",
            "ZMQ_CURVE_SERVANT",
            "ZMQ_CURVE_SERVER:",
            "ZMQ_CURVE_SERVANT:",
        ),
        (
            "argument",
            "zmq_msg_size",
            "fn zmq_msg_size(msg_: *const",
            "fn zmq_msg_size(msg_: *mut",
        ),
        (
            "result",
            "zmq_msg_size",
            "(msg_: *const zmq_msg_t) -> usize",
            "(msg_: *const zmq_msg_t) -> i32",
        ),
        (
            "callback",
            "zmq_timer_fn",
            "fn(timer_id: ::core::ffi::c_int",
            "fn(timer_id: ::core::ffi::c_long",
        ),
        (
            "field",
            "zmq_pollitem_t",
            "pub events: ::core::ffi::c_short",
            "pub events: ::core::ffi::c_int",
        ),
        (
            "order",
            "zmq_pollitem_t",
            "pub events: ::core::ffi::c_short,\n    pub revents",
            "pub revents: ::core::ffi::c_short,\n    pub events",
        ),
    ] {
        let altered = ZMQ.replacen(from, to, 1);
        assert_ne!(altered, ZMQ, "{tag}: nothing to alter");
        let said = compile(&format!("altered-{tag}"), &zmq_assertions(&altered)).unwrap_err();
        assert!(said.contains(culprit), "{tag}: {said}");
    }
}

fn zmq_assertions(declarations: &str) -> String {
    let as_new = format!(
        "ZMQ_VERSION >= ZMQ_MAKE_VERSION({}, {}, {})",
        zmq::ZMQ_VERSION_MAJOR,
        zmq::ZMQ_VERSION_MINOR,
        zmq::ZMQ_VERSION_PATCH
    );
    format!(
        "#include <stddef.h>\n#include <zmq.h>\n{}",
        assertions(declarations, &as_new)
    )
}

/// Sizes and alignments as Rust has them; all else is read from the declarations.
fn layout(structure: &str) -> (usize, usize) {
    match structure {
        "zmq_msg_t" => (size_of::<zmq::zmq_msg_t>(), align_of::<zmq::zmq_msg_t>()),
        "zmq_pollitem_t" => (
            size_of::<zmq::zmq_pollitem_t>(),
            align_of::<zmq::zmq_pollitem_t>(),
        ),
        other => panic!("struct {other} is declared, but this test does not know it"),
    }
}

/// One C assertion for each fact that bindgen's output states. `as_new`: the C condition under which the header must
/// have every constant and type.
fn assertions(declarations: &str, as_new: &str) -> String {
    let file = syn::parse_file(declarations).unwrap();
    let aliases: HashMap<String, Type> = file
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Type(alias) => Some((alias.ident.to_string(), (*alias.ty).clone())),
            _ => None,
        })
        .collect();
    let mut c = String::new();
    for item in &file.items {
        match item {
            // The version of the header that bindgen read: another one is the point of the conditions.
            Item::Const(constant) if constant.ident.to_string().contains("_VERSION_") => {}
            Item::Const(constant) => {
                let name = constant.ident.to_string();
                let fact = match value(&constant.expr) {
                    Value::Number(number) => format!("{name} == {number}"),
                    Value::Text(text) => format!("__builtin_strcmp({name}, \"{text}\") == 0"),
                };
                _ = write!(
                    c,
                    "#ifdef {name}\n{}#elif {as_new}\n#error the header lacks {name}\n#endif\n",
                    assertion(&name, &fact)
                );
            }
            Item::ForeignMod(block) => {
                for function in &block.items {
                    let ForeignItem::Fn(function) = function else {
                        panic!("only functions are declared")
                    };
                    let name = function.sig.ident.to_string();
                    let arguments = function.sig.inputs.iter().map(|argument| match argument {
                        syn::FnArg::Typed(typed) => &*typed.ty,
                        syn::FnArg::Receiver(_) => panic!("{name} takes self"),
                    });
                    let pointer = function_pointer(arguments, &function.sig.output, &aliases);
                    c += &same_type(&name, &format!("&{name}"), &pointer);
                }
            }
            Item::Struct(structure) => c += &structure_assertions(structure, &aliases),
            Item::Type(alias) => {
                let name = alias.ident.to_string();
                // bindgen makes an Option of a function type; C's typedef is the function itself.
                let star = if is_callback(&alias.ty) { "*" } else { "" };
                let fact = same_type(
                    &name,
                    &format!("({name} {star}) 0"),
                    &c_type(&alias.ty, &aliases),
                );
                _ = write!(c, "#if {as_new}\n{fact}#endif\n");
            }
            _ => panic!("a kind of declaration that this test does not know"),
        }
    }
    c
}

fn structure_assertions(structure: &ItemStruct, aliases: &HashMap<String, Type>) -> String {
    let name = structure.ident.to_string();
    let (size, align) = layout(&name);
    let mut c = assertion(&name, &format!("sizeof ({name}) == {size}"));
    c += &assertion(&name, &format!("_Alignof ({name}) == {align}"));
    let fields: Vec<(String, &Type)> = structure
        .fields
        .iter()
        .map(|field| (field.ident.as_ref().unwrap().to_string(), &field.ty))
        // `_` in C, which is no name in Rust.
        .filter(|(field, _)| field != "__")
        .collect();
    for (field, ty) in &fields {
        c += &same_type(
            &name,
            &format!("(({name} *) 0)->{field}"),
            &c_type(ty, aliases),
        );
    }
    for pair in fields.windows(2) {
        let (first, second) = (&pair[0].0, &pair[1].0);
        c += &assertion(
            &name,
            &format!("offsetof ({name}, {first}) < offsetof ({name}, {second})"),
        );
    }
    c
}

fn assertion(name: &str, fact: &str) -> String {
    format!("_Static_assert ({fact}, \"{name}\");\n")
}

fn same_type(name: &str, expression: &str, ty: &str) -> String {
    assertion(
        name,
        &format!("__builtin_types_compatible_p (__typeof__ ({expression}), {ty})"),
    )
}

enum Value {
    Number(String),
    Text(String),
}

fn value(expression: &Expr) -> Value {
    match expression {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(number) => Value::Number(number.base10_digits().to_owned()),
            Lit::ByteStr(bytes) => {
                let bytes = bytes.value();
                Value::Text(
                    CStr::from_bytes_with_nul(&bytes)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                )
            }
            _ => panic!("a constant that is neither number nor string"),
        },
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => match value(&unary.expr) {
            Value::Number(number) => Value::Number(format!("-{number}")),
            Value::Text(_) => panic!("a negative string"),
        },
        _ => panic!("a constant that is an expression"),
    }
}

/// The C spelling of a type in bindgen's output.
fn c_type(ty: &Type, aliases: &HashMap<String, Type>) -> String {
    match ty {
        Type::Ptr(pointer) => {
            let target = c_type(&pointer.elem, aliases);
            let constant = if pointer.const_token.is_some() {
                "const "
            } else {
                ""
            };
            format!("{target} {constant}*")
        }
        Type::BareFn(function) => {
            let arguments = function.inputs.iter().map(|argument| &argument.ty);
            function_pointer(arguments, &function.output, aliases)
        }
        Type::Path(path) => {
            let last = path.path.segments.last().unwrap();
            let name = last.ident.to_string();
            if let PathArguments::AngleBracketed(inner) = &last.arguments {
                // Option<fn>: a function pointer that may be null.
                let Some(GenericArgument::Type(inner)) = inner.args.first() else {
                    panic!("{name} of no type")
                };
                return c_type(inner, aliases);
            }
            let spelling = match name.as_str() {
                "c_void" => "void",
                "c_char" => "char",
                "c_uchar" => "unsigned char",
                "c_short" => "short",
                "c_int" | "i32" => "int",
                "c_long" => "long",
                "c_ulong" => "unsigned long",
                "c_ulonglong" => "unsigned long long",
                "usize" => "size_t",
                "u8" => "uint8_t",
                other => match aliases.get(other) {
                    Some(target) => return c_type(target, aliases),
                    None => other,
                },
            };
            spelling.to_owned()
        }
        _ => panic!("a type that this test does not know"),
    }
}

fn function_pointer<'a>(
    arguments: impl Iterator<Item = &'a Type>,
    result: &ReturnType,
    aliases: &HashMap<String, Type>,
) -> String {
    let result = match result {
        ReturnType::Default => "void".to_owned(),
        ReturnType::Type(_, ty) => c_type(ty, aliases),
    };
    let arguments: Vec<String> = arguments.map(|ty| c_type(ty, aliases)).collect();
    let arguments = if arguments.is_empty() {
        "void".to_owned()
    } else {
        arguments.join(", ")
    };
    format!("{result} (*) ({arguments})")
}

fn is_callback(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Option"))
}

/// Whether the C compiler takes it; if not, what it says.
fn compile(tag: &str, c: &str) -> Result<(), String> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("abi-{tag}.c"));
    fs::write(&file, c).unwrap();
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut words = compiler.split_whitespace();
    let output = Command::new(words.next().unwrap())
        .args(words)
        .args(["-std=gnu11", "-fsyntax-only"])
        .args(
            env::split_paths(env!("ZMQ_SYS_WRAP_INCLUDE"))
                .filter(|path| !path.as_os_str().is_empty())
                .map(|path| format!("-I{}", path.display())),
        )
        .arg(&file)
        .output()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}
