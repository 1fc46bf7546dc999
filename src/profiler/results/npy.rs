//! One array of numpy (`.npy`) ↔ numbers.
//!
//! Read: versions 1 to 3 of the format, booleans, integers and floats of either byte order, no or one dimension longer than
//! 1, or two in the order of C. Written: version 1, little-endian doubles, one dimension. Source: numpy's own description, `numpy.lib.format`.

/// Values of one array, at most.
const VALUES_MAX: usize = 4 << 20;
const MAGIC: &[u8] = b"\x93NUMPY";
/// The header and what stands before it end at a multiple of this.
const ALIGNMENT: usize = 64;

/// The values of an array of one dimension.
///
/// # Errors
/// What is wrong, in words.
pub fn parse(bytes: &[u8]) -> Result<Vec<f64>, String> {
    parse_of(bytes, 1)
}

/// The values of an array of one or two dimensions, row after row.
///
/// # Errors
/// What is wrong, in words.
pub fn parse_grid(bytes: &[u8]) -> Result<Vec<f64>, String> {
    parse_of(bytes, 2)
}

fn parse_of(bytes: &[u8], dimensions_max: usize) -> Result<Vec<f64>, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it does not begin as an array of numpy does")?;
    let (&[major, _minor], rest) = rest.split_first_chunk::<2>().ok_or("it ends within its head")?;
    let (header_len, rest) = if major == 1 {
        let (len, rest) = rest.split_first_chunk::<2>().ok_or("it ends within its head")?;
        (usize::from(u16::from_le_bytes(*len)), rest)
    } else {
        let (len, rest) = rest.split_first_chunk::<4>().ok_or("it ends within its head")?;
        (u32::from_le_bytes(*len) as usize, rest)
    };
    let (header, data) = rest.split_at_checked(header_len).ok_or("it ends within its head")?;
    let header = std::str::from_utf8(header).map_err(|_| "its head is no text")?;
    let dtype = Dtype::of(quoted(header, "descr").ok_or("its head names no simple type")?)?;
    let count = count(header, dimensions_max)?;
    let data = data.get(..count * dtype.bytes).ok_or("it ends within its values")?;
    Ok(data.chunks_exact(dtype.bytes).map(|item| dtype.value(item)).collect())
}

/// An array of doubles.
pub fn encode(values: &[f64]) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({},), }}", values.len());
    let before = MAGIC.len() + 4;
    let padding = (before + header.len() + 1).next_multiple_of(ALIGNMENT) - before - header.len() - 1;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

#[derive(Clone, Copy)]
struct Dtype {
    big_endian: bool,
    kind: u8,
    bytes: usize,
}

impl Dtype {
    fn of(name: &str) -> Result<Dtype, String> {
        let unknown = || format!("its type `{name}` is not one of numbers");
        let &[order, kind, ref size @ ..] = name.as_bytes() else { return Err(unknown()) };
        let bytes = std::str::from_utf8(size).ok().and_then(|s| s.parse().ok()).unwrap_or(0);
        let known = match kind {
            b'f' => matches!(bytes, 4 | 8),
            b'i' | b'u' => matches!(bytes, 1 | 2 | 4 | 8),
            b'b' => bytes == 1,
            _ => false,
        };
        if !known || !matches!(order, b'<' | b'>' | b'|' | b'=') {
            return Err(unknown());
        }
        Ok(Dtype { big_endian: order == b'>', kind, bytes })
    }

    fn value(self, item: &[u8]) -> f64 {
        // The bytes in the order of the least significant first, sign extended where there is a sign.
        let mut le = [0u8; 8];
        for (at, byte) in le.iter_mut().zip(item.iter()) {
            *at = *byte;
        }
        if self.big_endian {
            le[..self.bytes].reverse();
        }
        match (self.kind, self.bytes) {
            (b'f', 8) => f64::from_le_bytes(le),
            (b'f', _) => f64::from(f32::from_le_bytes([le[0], le[1], le[2], le[3]])),
            (b'i', bytes) => {
                let shift = 64 - 8 * bytes as u32;
                ((i64::from_le_bytes(le) << shift) >> shift) as f64
            }
            _ => u64::from_le_bytes(le) as f64,
        }
    }
}

/// The text behind `'key':`.
fn after<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    ['\'', '"'].into_iter().find_map(|q| {
        let (_, rest) = header.split_once(&format!("{q}{key}{q}"))?;
        Some(rest.trim_start().strip_prefix(':')?.trim_start())
    })
}

/// The quoted text behind `'key':`.
fn quoted<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let rest = after(header, key)?;
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    rest[1..].split(quote).next()
}

/// How many values the shape has room for.
fn count(header: &str, dimensions_max: usize) -> Result<usize, String> {
    let shape = after(header, "shape").and_then(|s| s.strip_prefix('(')?.split_once(')')).ok_or("it has no shape")?.0;
    let sizes = shape.split(',').map(str::trim).filter(|s| !s.is_empty());
    let sizes =
        sizes.map(str::parse).collect::<Result<Vec<usize>, _>>().map_err(|_| "its shape is no list of numbers")?;
    let dimensions = sizes.iter().filter(|n| **n != 1).count();
    if dimensions > dimensions_max {
        return Err(format!("it has several dimensions, and {dimensions_max} is the most that is looked for"));
    }
    if dimensions > 1 && !after(header, "fortran_order").is_some_and(|order| order.starts_with("False")) {
        return Err("its columns stand one after the other, and rows are looked for".into());
    }
    let count = sizes.iter().product::<usize>();
    if count > VALUES_MAX {
        return Err(format!("it has {count} values, and {VALUES_MAX} are the most"));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn what_is_written_is_read_back_and_aligned_as_numpy_wants_it() {
        for values in [vec![], vec![1.5], vec![0.1, -2.0, f64::MAX, 1e-300]] {
            let bytes = encode(&values);
            assert_eq!((bytes.len() - values.len() * 8) % ALIGNMENT, 0);
            assert_eq!(parse(&bytes).unwrap(), values);
        }
    }

    #[test]
    fn the_types_and_orders_that_numpy_writes_are_read() {
        let both = |descr: &str, data: &[u8]| parse(&array(descr, "(1,)", data)).unwrap()[0];
        assert_eq!(both("<i8", &(-7i64).to_le_bytes()), -7.0);
        assert_eq!(both(">i4", &(-7i32).to_be_bytes()), -7.0);
        assert_eq!(both("<u2", &65_000u16.to_le_bytes()), 65_000.0);
        assert_eq!(both("|i1", &[0xff]), -1.0);
        assert_eq!(both("|b1", &[1]), 1.0);
        assert_eq!(both("<f4", &0.5f32.to_le_bytes()), 0.5);
        assert_eq!(both(">f8", &0.25f64.to_be_bytes()), 0.25);
        assert_eq!(parse(&array("<f8", "()", &8224f64.to_le_bytes())).unwrap(), [8224.0], "a scalar");
        assert_eq!(parse(&array("<f8", "(1, 1)", &2f64.to_le_bytes())).unwrap(), [2.0]);
    }

    #[test]
    fn what_is_no_array_of_numbers_is_refused_with_its_reason() {
        let one = 1f64.to_le_bytes();
        for (bytes, reason) in [
            (b"PK\x03\x04".to_vec(), "does not begin"),
            (array("<f8", "(2,)", &one), "ends within its values"),
            (array("|O", "(1,)", &one), "`|O` is not one of numbers"),
            (array("<f8", "(2, 2)", &[0; 32]), "several dimensions"),
            (array("<f8", "(99999999999,)", &one), "are the most"),
            (array("<f8", "(-1,)", &one), "no list of numbers"),
            (MAGIC.to_vec(), "ends within its head"),
        ] {
            assert!(parse(&bytes).unwrap_err().contains(reason), "{reason}");
        }
        let grid = array("<f8", "(2, 2)", &[0; 32]);
        assert_eq!(parse_grid(&grid), Ok(vec![0.0; 4]));
        let whole = encode(&[1.0, 2.0]);
        assert!((0..whole.len()).all(|n| parse(&whole[..n]).is_err()), "cut anywhere");
    }
}
