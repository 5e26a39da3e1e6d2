//! `join` as VRL has it, with the size of the result checked first: a long text split into single
//! characters and joined by itself would take the square of its length in one step.

use vrl::compiler::TypeDef;
use vrl::compiler::prelude::{
    ArgumentList, Compiled, Context, Expression, Function, FunctionCompileContext, FunctionExpression, Parameter,
    Resolved, TypeState, VrlValueConvert as _, function::Example, kind,
};
use vrl::value::Value;

use super::replace::check_length;

#[derive(Debug)]
pub(super) struct Join;

impl Function for Join {
    fn identifier(&self) -> &'static str {
        "join"
    }

    fn usage(&self) -> &'static str {
        "Joins the strings of an array into one, with an optional separator between them."
    }

    fn category(&self) -> &'static str {
        "String"
    }

    fn return_kind(&self) -> u16 {
        kind::BYTES
    }

    fn parameters(&self) -> &'static [Parameter] {
        const PARAMETERS: &[Parameter] = &[
            Parameter::required("value", kind::ARRAY, "The array of strings.").with_element_kind(kind::BYTES),
            Parameter::optional("separator", kind::BYTES, "Stands between two strings."),
        ];
        PARAMETERS
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(&self, _state: &TypeState, _context: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        let value = arguments.required("value");
        let separator = arguments.optional("separator");
        Ok(Call { value, separator }.as_expr())
    }
}

#[derive(Debug, Clone)]
struct Call {
    value: Box<dyn Expression>,
    separator: Option<Box<dyn Expression>>,
}

impl FunctionExpression for Call {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let items = self.value.resolve(context)?.try_array()?;
        let separator = match &self.separator {
            Some(separator) => separator.resolve(context)?,
            None => Value::from(""),
        };
        let separator = separator.try_bytes_utf8_lossy()?;
        let texts = items.iter().map(Value::to_str_lossy);
        let texts = texts.collect::<Option<Vec<_>>>().ok_or("expected all items of the array to be strings")?;
        let own: usize = texts.iter().map(|text| text.len()).sum();
        let between = texts.len().saturating_sub(1).saturating_mul(separator.len());
        check_length(own.saturating_add(between))?;
        Ok(texts.join(separator.as_ref()).into())
    }

    fn type_def(&self, _state: &TypeState) -> TypeDef {
        TypeDef::bytes()
    }
}
