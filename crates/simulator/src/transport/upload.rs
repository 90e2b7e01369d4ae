//! A multipart upload: some fields first, the file last.

use super::Parameters;

/// The file of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    /// As the client named it.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// Takes a `multipart/form-data` body apart. `None`: it is none.
pub(crate) fn parse(content_type: &str, body: &[u8]) -> Option<(Parameters, Upload)> {
    let boundary = content_type.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?;
    let boundary = format!("--{}", boundary.trim_matches('"'));
    let mut parameters = Parameters::default();
    let mut rest = after(body, boundary.as_bytes())?;
    loop {
        let part = rest.strip_prefix(b"\r\n")?;
        let end = find(part, format!("\r\n{boundary}").as_bytes())?;
        let (head, content) = split(part.get(..end)?)?;
        let name = attribute(head, "name")?;
        if let Some(file) = attribute(head, "filename") {
            return Some((parameters, Upload { name: file, bytes: content.to_vec() }));
        }
        parameters.set(&name, String::from_utf8_lossy(content));
        rest = part.get(end + 2 + boundary.len()..)?;
    }
}

fn split(part: &[u8]) -> Option<(&str, &[u8])> {
    let end = find(part, b"\r\n\r\n")?;
    Some((std::str::from_utf8(part.get(..end)?).ok()?, part.get(end + 4..)?))
}

fn attribute(head: &str, name: &str) -> Option<String> {
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
    let marker = format!("{name}=\"");
    let attributes = line.split(';').map(str::trim);
    let value = attributes.into_iter().find_map(|attribute| attribute.strip_prefix(marker.as_str()))?;
    Some(value.trim_end_matches('"').to_owned())
}

fn after<'a>(bytes: &'a [u8], needle: &[u8]) -> Option<&'a [u8]> {
    find(bytes, needle).and_then(|at| bytes.get(at + needle.len()..))
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let first = needle.first()?;
    let mut from = 0;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|byte| byte == first)?;
        if bytes.get(at..)?.starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_before_the_file() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n--x\r\nContent-Disposition: \
            form-data; name=\"filename\"; filename=\"t.iso\"\r\nContent-Type: application/octet-stream\r\n\r\nab\r\n-c\r\n--x--\r\n";
        let (parameters, upload) = parse("multipart/form-data; boundary=x", body).unwrap();
        assert_eq!(parameters.get("content"), Some("iso"));
        assert_eq!(upload, Upload { name: "t.iso".to_owned(), bytes: b"ab\r\n-c".to_vec() });
        assert_eq!(parse("multipart/form-data; boundary=y", body), None);
    }
}
