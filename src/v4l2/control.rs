//! A device's controls: brightness, bitrate, test pattern; by the names that `v4l2-ctl` uses.
//!
//! In: names and values. Out: values set, or what is wrong with them. Not here: which controls a codec has to have.

use serde::Deserialize;

use crate::error::{Error, Result, nearest};
use crate::sys::v4l2::{self as sys, uapi};

use super::VideoDevice;

/// A value of a control.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Control"))]
#[serde(untagged, expecting = "a whole number, true, false, or the text of a menu's line")]
pub enum Value {
    /// `true`, `false`.
    Bool(bool),
    /// A number; of a menu the line's number.
    Number(i64),
    /// A menu's line, or text.
    Text(String),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "\"{value}\""),
        }
    }
}

/// A control.
#[derive(Clone, Debug)]
pub struct Control {
    /// `V4L2_CID_*`
    pub id: u32,
    /// The name as `v4l2-ctl` has it: `video_bitrate`.
    pub name: String,
    kind: u32,
    minimum: i64,
    maximum: i64,
    step: u64,
    flags: u32,
    elem_size: u32,
}

/// Lower case, everything else than letters and digits one underscore.
fn name_of(given: &str) -> String {
    let mut name = String::new();
    for letter in given.chars() {
        match letter.is_ascii_alphanumeric() {
            true => name.push(letter.to_ascii_lowercase()),
            false if name.is_empty() || name.ends_with('_') => {}
            false => name.push('_'),
        }
    }
    name.trim_end_matches('_').to_owned()
}

impl Control {
    fn is_wide(&self) -> bool {
        self.kind == uapi::CTRL_TYPE_INTEGER64
    }

    /// The lines of a menu: number and text.
    fn menu(&self, device: &VideoDevice) -> Vec<(i64, String)> {
        let lines = self.minimum.max(0)..=self.maximum.min(1024);
        lines
            .filter_map(|index| {
                let bytes = sys::menu_item(device.fd(), self.id, u32::try_from(index).ok()?).ok()?;
                let text = match self.kind {
                    uapi::CTRL_TYPE_INTEGER_MENU => {
                        i64::from_ne_bytes(bytes.first_chunk::<8>().copied().unwrap_or_default()).to_string()
                    }
                    _ => sys::text(&bytes),
                };
                Some((index, text))
            })
            .collect()
    }

    /// The number that stands for `value`.
    fn number(&self, device: &VideoDevice, value: &Value) -> Result<i64> {
        let wrong = |detail: String| Error::invalid(self.name.clone(), detail);
        let is_menu = matches!(self.kind, uapi::CTRL_TYPE_MENU | uapi::CTRL_TYPE_INTEGER_MENU);
        let number = match value {
            Value::Bool(value) if self.kind == uapi::CTRL_TYPE_BOOLEAN => i64::from(*value),
            Value::Bool(_) => return Err(wrong("this control takes a number".into())),
            Value::Number(number) => *number,
            Value::Text(text) if is_menu => {
                let lines = self.menu(device);
                let Some((number, _)) = lines.iter().find(|(_, line)| line.eq_ignore_ascii_case(text)) else {
                    let names: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
                    let hint = match nearest(text, names.iter().copied()) {
                        Some(name) => format!("did you mean \"{name}\"?"),
                        None => format!("there is {}", names.join(", ")),
                    };
                    return Err(wrong(format!("\"{text}\" is not in the menu")).with_hint(hint));
                };
                *number
            }
            Value::Text(_) => return Err(wrong("this control takes a number".into())),
        };
        let signed = self.kind != uapi::CTRL_TYPE_BITMASK;
        let inside = (self.minimum..=self.maximum).contains(&number);
        let step = i64::try_from(self.step).unwrap_or(1).max(1);
        if signed && self.kind != uapi::CTRL_TYPE_BUTTON && !inside {
            return Err(wrong(format!("{number}: {} to {}", self.minimum, self.maximum)));
        }
        if matches!(self.kind, uapi::CTRL_TYPE_INTEGER | uapi::CTRL_TYPE_INTEGER64)
            && number.wrapping_sub(self.minimum) % step != 0
        {
            return Err(wrong(format!("{number}: {} and then every {step}", self.minimum)));
        }
        Ok(number)
    }
}

impl VideoDevice {
    /// Every control that can be named.
    pub fn controls(&self) -> Vec<Control> {
        let mut controls: Vec<Control> = Vec::new();
        let mut last = 0;
        while let Ok(found) = sys::next_control(self.fd(), last) {
            // A driver that goes backwards would keep us here.
            if found.id <= last {
                break;
            }
            last = found.id;
            let usable = found.flags & uapi::CTRL_FLAG_DISABLED == 0 && found.kind < uapi::CTRL_COMPOUND_TYPES;
            if !usable || found.kind == uapi::CTRL_TYPE_CTRL_CLASS {
                continue;
            }
            controls.push(Control {
                id: found.id,
                name: name_of(&sys::text(&found.name)),
                kind: found.kind,
                minimum: found.minimum,
                maximum: found.maximum,
                step: found.step,
                flags: found.flags,
                elem_size: found.elem_size,
            });
        }
        controls
    }

    /// Sets the control `name`, or only looks whether it could (`really` is false).
    ///
    /// # Errors
    /// `InvalidInput`, `op` being the name: no such control (with the nearest), a value out of its range, one that can
    /// only be read. `Failed`: the driver refuses.
    pub fn set_control(&self, name: &str, value: &Value, really: bool) -> Result<()> {
        let controls = self.controls();
        let Some(control) = controls.iter().find(|control| control.name == name_of(name)) else {
            let names = controls.iter().map(|control| control.name.as_str());
            let hint = match nearest(&name_of(name), names) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("`v4l2-ctl -d {} -L` lists them", self.path().display()),
            };
            let detail = format!("{self} has no control \"{name}\"");
            return Err(Error::invalid(name.to_owned(), detail).with_hint(hint));
        };
        if control.flags & uapi::CTRL_FLAG_READ_ONLY != 0 {
            return Err(Error::invalid(name.to_owned(), "this control can only be read"));
        }
        let failed = |errno| Error::from_errno(name.to_owned(), format!("{value}"), errno);
        if let (uapi::CTRL_TYPE_STRING, Value::Text(text)) = (control.kind, value) {
            return match really {
                true => sys::set_text_control(self.fd(), control.id, text, control.elem_size).map_err(failed),
                false => Ok(()),
            };
        }
        let number = control.number(self, value)?;
        if control.flags & uapi::CTRL_FLAG_INACTIVE != 0 {
            tracing::info!(control = name, "has no effect with the other controls as they are");
        }
        match really {
            true => sys::set_control(self.fd(), control.id, number, control.is_wide()).map_err(failed),
            false => Ok(()),
        }
    }

    /// The value of control `name`, where it is one number.
    pub fn control(&self, name: &str) -> Option<i64> {
        let controls = self.controls();
        let control = controls.iter().find(|control| control.name == name_of(name))?;
        let payload = control.flags & uapi::CTRL_FLAG_HAS_PAYLOAD != 0;
        if payload { None } else { sys::control(self.fd(), control.id, control.is_wide()).ok() }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_those_of_v4l2_ctl() {
        for (given, name) in [
            ("Brightness", "brightness"),
            ("Video Bitrate Mode", "video_bitrate_mode"),
            ("H264 I-Frame QP Value", "h264_i_frame_qp_value"),
            ("White Balance, Automatic", "white_balance_automatic"),
            ("Gain (dB)", "gain_db"),
        ] {
            assert_eq!(super::name_of(given), name);
        }
    }
}
