//! New inputs from old ones, for where no coverage leads: mostly by words and lines, as what is read consists
//! of those.

use fastrand::Rng;

/// So long may an input become.
const MOST: usize = 16 << 10;
/// Bytes that mean something to one reader or another.
const SIGNS: &[u8] = b"\0\n\r\t \"'\\{}[]:,=/@-.01\x1b\x7f\x80\xff";

/// What new inputs are made of.
pub(super) struct Stock {
    inputs: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    lines: Vec<Vec<u8>>,
}

impl Stock {
    pub(super) fn new(inputs: Vec<Vec<u8>>) -> Self {
        let pieces = |cut: fn(&[u8]) -> Vec<(usize, usize)>| {
            let of = |input: &Vec<u8>| cut(input).iter().map(|(a, z)| input[*a..*z].to_vec()).collect();
            let mut all: Vec<Vec<u8>> =
                inputs.iter().flat_map(|input| -> Vec<Vec<u8>> { of(input) }).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        Self { words: pieces(words), lines: pieces(lines), inputs }
    }

    /// One input, a few steps away from one of the stock.
    pub(super) fn input(&self, dice: &mut Rng) -> Vec<u8> {
        // Large ones seldom: they take long, and most that can be found in them can be found in small ones.
        let [one, other] = [(); 2].map(|()| pick(&self.inputs, dice));
        let mut input = if one.len() > 1024 { other } else { one }.to_vec();
        for _ in 0..=dice.u8(..4) {
            self.step(&mut input, dice);
        }
        input.truncate(MOST);
        input
    }

    fn step(&self, input: &mut Vec<u8>, dice: &mut Rng) {
        match dice.u8(..11) {
            0 | 1 => swap(input, words, &self.words, dice),
            2 => swap(input, lines, &self.lines, dice),
            3 => insert(input, pick(&self.words, dice), dice),
            4 => insert(input, &[SIGNS[dice.usize(..SIGNS.len())]], dice),
            5 => {
                let (from, to) = range(input, dice);
                input.drain(from..to);
            }
            6 => {
                let (from, to) = range(input, dice);
                let copied = input[from..to].repeat(if dice.u8(..8) == 0 { dice.usize(1..200) } else { 1 });
                insert(input, &copied, dice);
            }
            7 => {
                let line = [b"\n", pick(&self.lines, dice), b"\n"].concat();
                insert(input, &line, dice);
            }
            8 => copy_lines(input, dice),
            9 => {
                let other = pick(&self.inputs, dice);
                input.truncate(dice.usize(..=input.len()));
                input.extend_from_slice(&other[dice.usize(..=other.len())..]);
            }
            _ => {
                let at = dice.usize(..=input.len());
                if let Some(byte) = input.get_mut(at) {
                    *byte = if dice.bool() { dice.u8(..) } else { *byte ^ (1 << dice.u8(..8)) };
                }
            }
        }
    }
}

fn pick<'a>(from: &'a [Vec<u8>], dice: &mut Rng) -> &'a [u8] {
    from.get(dice.usize(..from.len().max(1))).map_or(&[], Vec::as_slice)
}

fn insert(input: &mut Vec<u8>, piece: &[u8], dice: &mut Rng) {
    let at = dice.usize(..=input.len());
    input.splice(at..at, piece.iter().copied());
}

fn range(input: &[u8], dice: &mut Rng) -> (usize, usize) {
    let from = dice.usize(..=input.len());
    let most = if dice.u8(..4) == 0 { input.len() } else { 12 };
    (from, (from + dice.usize(..=most)).min(input.len()))
}

/// Puts another word or line in the place of one.
fn swap(input: &mut Vec<u8>, cut: fn(&[u8]) -> Vec<(usize, usize)>, from: &[Vec<u8>], dice: &mut Rng) {
    let places = cut(input);
    if let Some((start, end)) = places.get(dice.usize(..places.len().max(1))) {
        input.splice(start..end, pick(from, dice).iter().copied());
    }
}

/// Repeats a few lines of the input elsewhere in it.
fn copy_lines(input: &mut Vec<u8>, dice: &mut Rng) {
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let from = dice.usize(..lines.len());
    let copied = &lines[from..(from + dice.usize(1..4)).min(lines.len())];
    let at = dice.usize(..=lines.len());
    *input = [&lines[..at], copied, &lines[at..]].concat().join(&b'\n');
}

/// Where the words of `input` are.
fn words(input: &[u8]) -> Vec<(usize, usize)> {
    runs(input, |byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Where the lines of `input` are.
fn lines(input: &[u8]) -> Vec<(usize, usize)> {
    runs(input, |byte| byte != b'\n')
}

fn runs(input: &[u8], belongs: impl Fn(u8) -> bool) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    for run in input.split(|byte| !belongs(*byte)) {
        if !run.is_empty() {
            found.push((at, at + run.len()));
        }
        at += run.len() + 1;
    }
    found
}
