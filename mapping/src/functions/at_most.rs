//! `at_most(value, limit, text)`: the value, or an error where it is text of more than `limit` bytes,
//! or where it is no text although `text` says it must be.
//!
//! Users don't see it. The second compilation puts it around arguments that would otherwise let one
//! call grow without bounds or panic.

use vrl::compiler::TypeDef;
use vrl::compiler::prelude::{
    ArgumentList, Compiled, Context, Expression, Function, FunctionCompileContext, FunctionExpression, Parameter,
    Resolved, TypeState, VrlValueConvert as _, function::Example, kind,
};
use vrl::value::Value;

pub(crate) const NAME: &str = "at_most";

/// Begins the message of every refusal to grow; the run reports it as its limit of memory.
pub(crate) const GROWTH: &str = "the text would grow beyond its limit";

#[derive(Debug)]
pub(crate) struct AtMost;

impl Function for AtMost {
    fn identifier(&self) -> &'static str {
        NAME
    }

    fn usage(&self) -> &'static str {
        "internal"
    }

    fn category(&self) -> &'static str {
        "String"
    }

    fn return_kind(&self) -> u16 {
        kind::ANY
    }

    fn parameters(&self) -> &'static [Parameter] {
        const PARAMETERS: &[Parameter] = &[
            Parameter::required("value", kind::ANY, "The value to hand on."),
            Parameter::required("limit", kind::INTEGER, "The most bytes."),
            Parameter::required("text", kind::BOOLEAN, "Whether it must be text."),
        ];
        PARAMETERS
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(&self, _state: &TypeState, _context: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        let value = arguments.required("value");
        let limit = arguments.required("limit");
        let text = arguments.required("text");
        Ok(Call { value, limit, text }.as_expr())
    }
}

#[derive(Debug, Clone)]
struct Call {
    value: Box<dyn Expression>,
    limit: Box<dyn Expression>,
    text: Box<dyn Expression>,
}

impl FunctionExpression for Call {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let value = self.value.resolve(context)?;
        let limit = self.limit.resolve(context)?.try_integer()?;
        let text = self.text.resolve(context)?.try_boolean()?;
        let length = match &value {
            Value::Bytes(bytes) => bytes.len(),
            Value::String(text) => text.len(),
            other if text => {
                return Err(format!("expected string, got {}", other.kind_str()).into());
            }
            _ => 0,
        };
        if i64::try_from(length).is_ok_and(|length| length <= limit) {
            Ok(value)
        } else {
            Err(format!("{GROWTH}: the argument has {length} bytes, at most {limit} are allowed").into())
        }
    }

    fn type_def(&self, state: &TypeState) -> TypeDef {
        // Claims not to fail, so that it changes nothing about how the call around it must be
        // handled. Where it does fail, the run fails.
        self.value.type_def(state)
    }
}
