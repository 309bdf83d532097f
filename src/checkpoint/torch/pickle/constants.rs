use super::value::Value;
use super::{Fallible, Machine, op};

impl<'a> Machine<'a> {
    /// Numbers, strings and the like. `None` if it is no such opcode.
    pub(super) fn constant(&mut self, opcode: u8) -> Fallible<Option<Value<'a>>> {
        let reader = &mut self.reader;
        let value = match opcode {
            op::NONE => Value::None,
            op::NEWTRUE => Value::Bool(true),
            op::NEWFALSE => Value::Bool(false),
            op::BININT => Value::Int(reader.i32()?.into()),
            op::BININT1 => Value::Int(reader.u8()?.into()),
            op::BININT2 => Value::Int(reader.u16()?.into()),
            op::BINFLOAT => Value::Float(reader.f64()?),
            op::LONG1 | op::LONG4 => {
                let length = if opcode == op::LONG1 { reader.u8()?.into() } else { reader.u32()? };
                integer(reader.take(length.into())?)
            }
            op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 => {
                let length = self.length(opcode)?;
                Value::Text(self.reader.text(length)?)
            }
            // Python 2's strings: text if they can be.
            op::BINSTRING | op::SHORT_BINSTRING => {
                let length = self.length(opcode)?;
                let bytes = self.reader.take(length)?;
                std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text)
            }
            op::BINBYTES | op::SHORT_BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => {
                let length = self.length(opcode)?;
                Value::Bytes(self.reader.take(length)?)
            }
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    /// Length of a string, in one, four or eight bytes.
    fn length(&mut self, opcode: u8) -> Fallible<u64> {
        match opcode {
            op::SHORT_BINUNICODE | op::SHORT_BINSTRING | op::SHORT_BINBYTES => self.reader.u8().map(u64::from),
            op::BINUNICODE8 | op::BINBYTES8 | op::BYTEARRAY8 => self.reader.u64(),
            _ => self.reader.u32().map(u64::from),
        }
    }
}

/// A two's complement little-endian integer of any length.
fn integer(bytes: &[u8]) -> Value<'_> {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    match wide.get_mut(..bytes.len()) {
        Some(low) => {
            low.copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(wide))
        }
        None => Value::Long(bytes),
    }
}
