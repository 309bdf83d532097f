use super::{Fallible, Machine, op};

impl Machine<'_> {
    /// The memo, by which a pickle refers back to what it has built. False if it is no such opcode.
    pub(super) fn memo_opcode(&mut self, opcode: u8) -> Fallible<bool> {
        match opcode {
            op::BINGET => {
                let index = self.reader.u8()?.into();
                self.recall(index)?;
            }
            op::LONG_BINGET => {
                let index = self.reader.u32()?;
                self.recall(index)?;
            }
            op::BINPUT => {
                let index = self.reader.u8()?.into();
                self.remember(index)?;
            }
            op::LONG_BINPUT => {
                let index = self.reader.u32()?;
                self.remember(index)?;
            }
            op::MEMOIZE => {
                let index = u32::try_from(self.memo.len()).map_err(|_| "the memo is full")?;
                self.remember(index)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn recall(&mut self, index: u32) -> Fallible<()> {
        let value = self.memo.get(&index).ok_or_else(|| format!("the memo has no entry {index}"))?;
        self.stack.push(*value);
        Ok(())
    }

    fn remember(&mut self, index: u32) -> Fallible<()> {
        let value = self.top()?;
        self.memo.insert(index, value);
        Ok(())
    }
}
