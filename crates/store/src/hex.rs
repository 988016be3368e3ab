//! Bytes as text.

/// Bytes in hexadecimal digits.
pub(crate) fn of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sixteen bytes from their digits.
pub(crate) fn read(text: &str) -> Option<[u8; 16]> {
    let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
    // A sign would be a digit too many, and is no digit.
    Some(number.to_be_bytes()).filter(|bytes| of(bytes) == text)
}
