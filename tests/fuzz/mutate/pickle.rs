//! Pickles: opcodes put in, taken out and exchanged; programs of a few opcodes put in.

use super::super::forge::Pickle;
use super::{Rng, bytes};

/// What the machine knows, and a few that it does not.
const OPCODES: &[u8] = b"(.012N\x80\x88\x89\x95JKM\x8a\x8bGTUX\x8c\x8dBC\x8e\x96)t\x85\x86\x87]lae}dsu\x8f\x90\x91\
    hjqr\x94c\x93R\x81\x92obQPiSI\x82\x97\x98";

pub fn change(pickle: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut changed = pickle.to_vec();
    let at = rng.below(changed.len() + 1);
    match rng.below(5) {
        0 => changed.insert(at, *rng.pick(OPCODES)),
        1 if at < changed.len() => changed[at] = *rng.pick(OPCODES),
        2 | 3 => {
            let program = program(rng);
            // In front of the last opcode, which stops, or anywhere.
            let at = if rng.below(2) == 0 { changed.len().saturating_sub(1) } else { at };
            changed.splice(at..at, program);
        }
        _ => return bytes::change(pickle, rng),
    }
    changed
}

fn program(rng: &mut Rng) -> Vec<u8> {
    let p = Pickle(Vec::new());
    let number = rng.number() as i64;
    let small = rng.below(6) as i64;
    match rng.below(10) {
        0 => p.global("os", "system").text("false").raw(b"\x85R"),
        1 => p
            .raw(b"}")
            .text(rng.word(&["state_dict", "model", "ema", "w"]))
            .tensor(64, 0, &[small, small], &[small, 1])
            .raw(b"s"),
        2 => p.tensor(number, small, &[small, 2], &[2, 1]),
        3 => p.tensor(64, number, &[small], &[number]),
        4 => p
            .global("torch.nn", "Module")
            .raw(b")\x81}")
            .text("_modules")
            .raw(b"}")
            .text("m")
            .get(small as u32)
            .raw(b"ssb"),
        5 => p.get(small as u32),
        6 => p.put(small as u32),
        7 => p.global("torch._tensor", "_rebuild_from_type_v2").raw(b"(").get(0).raw(b"NNNtR"),
        8 => p
            .global("numpy.core.multiarray", "_reconstruct")
            .raw(b"(")
            .global("numpy", "ndarray")
            .raw(b"K\0\x85C\x01btR"),
        _ => p.global(rng.word(&["collections", "builtins"]), rng.word(&["OrderedDict", "set", "dict"])).raw(b"]\x85R"),
    }
    .0
}
