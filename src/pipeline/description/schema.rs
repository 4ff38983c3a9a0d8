//! What the values of a pipeline file look like to an editor, where serde's derive does not know it.
//!
//! In: nothing. Out: [`JsonSchema`] of the types of `value` and `spanned`. Not here: the keys, which derive it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::format::{FORMATS, Fourcc};
use crate::layout::Size;

use super::{
    Blend, BlendKeys, BlendMode, Compute, ComputeKeys, FrameRange, Inputs, Length, Mesh, MeshKeys, Numbers, Optimize,
    PassSize, Rate, Rgba, Samples, Spanned, Step, Text, Turntable, Uniform,
};

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// What may be written for a value that is read by its `FromStr`.
pub trait TextSchema {
    /// A definition's name.
    const NAME: &'static str;

    /// The schema of the text (or bare number).
    fn text_schema() -> Schema;
}

impl<T: TextSchema> JsonSchema for Text<T> {
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        T::text_schema()
    }
}

impl TextSchema for Size {
    const NAME: &'static str = "Size";

    fn text_schema() -> Schema {
        json_schema!({
            "description": "Width and height in pixels, 1 to 65536 each.",
            "type": "string",
            "pattern": "^ *[0-9]+ *[xX×] *[0-9]+ *$",
            "examples": ["1280x720"],
        })
    }
}

impl TextSchema for PassSize {
    const NAME: &'static str = "PassSize";

    fn text_schema() -> Schema {
        json_schema!({
            "description": "\"as-input\", pixels, or a part of the first input.",
            "type": "string",
            "pattern": "^(as-input| *[0-9]+ *[xX×] *[0-9]+ *| *[0-9]+([.][0-9]+)? *%)$",
            "examples": ["as-input", "1280x720", "50%"],
        })
    }
}

impl TextSchema for Rate {
    const NAME: &'static str = "Rate";

    fn text_schema() -> Schema {
        json_schema!({
            "description": "Frames per second: a number, or a fraction.",
            "anyOf": [
                { "type": "number", "exclusiveMinimum": 0 },
                { "type": "string", "pattern": "^ *[0-9]+([.][0-9]+)? *([/:] *[0-9]+ *)?$" },
            ],
            "examples": [25, 29.97, "30000/1001"],
        })
    }
}

impl TextSchema for FrameRange {
    const NAME: &'static str = "FrameRange";

    fn text_schema() -> Schema {
        json_schema!({
            "description": "A..B with B left out, A.., ..B, or the first so many.",
            "anyOf": [
                { "type": "integer", "minimum": 1 },
                { "type": "string", "pattern": "^ *([0-9]+|[0-9]* *[.][.] *[0-9]*) *$" },
            ],
            "examples": ["10..20", "10..", "..20", 20],
        })
    }
}

impl TextSchema for Fourcc {
    const NAME: &'static str = "Format";

    fn text_schema() -> Schema {
        // The four characters (`AB24`) and lower case are read too; one way to write it is enough for an editor.
        let names: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
        json_schema!({
            "description": "A DRM format's name.",
            "anyOf": [{ "type": "string", "enum": names }, { "type": "string", "pattern": "^[A-Za-z0-9 ]{4}$" }],
            "examples": ["ABGR8888", "NV12"],
        })
    }
}

impl JsonSchema for Numbers {
    fn schema_name() -> Cow<'static, str> {
        "Numbers".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One number, or one per plane.",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "array", "items": { "type": "integer", "minimum": 0 }, "minItems": 1, "maxItems": 4 },
            ],
        })
    }
}

impl JsonSchema for Optimize {
    fn schema_name() -> Cow<'static, str> {
        "Optimize".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = Step::ALL.map(Step::name);
        let steps = Step::ALL.map(|step| format!("`\"{}\"`: {}", step.name(), step.what()));
        json_schema!({
            "description": format!("All steps, none, or a list of them. {}.", steps.join("; ")),
            "anyOf": [
                { "type": "boolean" },
                { "type": "array", "items": { "type": "string", "enum": names } },
            ],
            "examples": [true, ["fuse", "reuse"]],
        })
    }
}

impl JsonSchema for Inputs {
    fn schema_name() -> Cow<'static, str> {
        "Inputs".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Names in the shader and the source or pass that each is; a list where both are the same.",
            "anyOf": [
                { "type": "object", "additionalProperties": { "type": "string" } },
                { "type": "array", "items": { "type": "string" } },
            ],
        })
    }
}

impl JsonSchema for Uniform {
    fn schema_name() -> Cow<'static, str> {
        "Uniform".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let row = serde_json::json!({ "type": "array", "items": { "type": ["number", "boolean"] } });
        json_schema!({
            "description": "A number, a boolean, or a list of numbers, matrices column by column; or `\"$NAME\"`, the value of `[parameter.NAME]`.",
            "anyOf": [
                { "type": "string", "pattern": "^\\$." },
                { "type": ["number", "boolean"] },
                { "type": "array", "items": { "anyOf": [{ "type": ["number", "boolean"] }, row] } },
            ],
        })
    }
}

impl TextSchema for Length {
    const NAME: &'static str = "Length";

    fn text_schema() -> Schema {
        json_schema!({
            "description": "A number, or a part of the whole.",
            "anyOf": [
                { "type": "number", "minimum": -1e6, "maximum": 1e6 },
                { "type": "string", "pattern": "^ *[-+]?[0-9]+([.][0-9]+)? *%? *$" },
            ],
            "examples": [16, -16, "30%"],
        })
    }
}

impl TextSchema for Turntable {
    const NAME: &'static str = "Turntable";

    fn text_schema() -> Schema {
        json_schema!({
            "description": "How fast a model turns: degrees per second, or per frame.",
            "anyOf": [
                { "type": "number", "minimum": -1e6, "maximum": 1e6 },
                { "type": "string", "pattern": "^ *[-+]?[0-9]+([.][0-9]+)? *(/ *(s|frame) *)?$" },
            ],
            "examples": [90, "90/s", "3/frame"],
        })
    }
}

impl TextSchema for Samples {
    const NAME: &'static str = "Samples";

    fn text_schema() -> Schema {
        json_schema!({
            "description": "A number, or as many as the driver offers.",
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": 64 },
                { "type": "string", "pattern": "^ *([1-9]|[1-5][0-9]|6[0-4]|max) *$" },
            ],
            "examples": [4, "max"],
        })
    }
}

impl JsonSchema for Compute {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Compute".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<ComputeKeys>();
        json_schema!({ "anyOf": [{ "type": "string" }, table] })
    }
}

impl JsonSchema for Mesh {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Mesh".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<MeshKeys>();
        json_schema!({ "anyOf": [{ "type": "string" }, table] })
    }
}

impl JsonSchema for Rgba {
    fn schema_name() -> Cow<'static, str> {
        "Colour".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let part = serde_json::json!({ "type": "number", "minimum": 0, "maximum": 1 });
        json_schema!({
            "description": "Red, green, blue and, where it is not 1, alpha (straight).",
            "anyOf": [
                { "type": "string", "pattern": "^#([0-9a-fA-F]{6}|[0-9a-fA-F]{8})$" },
                { "type": "array", "items": part, "minItems": 3, "maxItems": 4 },
            ],
            "examples": ["#20a0ff", "#00000080", [0.1, 0.5, 1]],
        })
    }
}

impl JsonSchema for Blend {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Blend".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (mode, table) = (generator.subschema_for::<BlendMode>(), generator.subschema_for::<BlendKeys>());
        json_schema!({ "anyOf": [mode, table] })
    }
}
