//! Pages of lists: which one is asked for, and where the others are (wire notes, section 2).

use crate::refusal::Refusal;
use form_urlencoded::Serializer;

/// The most items of a page (specification: "The maximum number of results per page is 200").
pub const LARGEST_PAGE: u32 = 200;

/// The items of a page that is asked for without `per_page`.
pub const USUAL_PAGE: u32 = 20;

/// Which page of a list is asked for. The numbers are within their bounds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Page {
    number: u32,
    size: u32,
}

impl Default for Page {
    /// The first page of the usual size.
    fn default() -> Self {
        Self { number: 1, size: USUAL_PAGE }
    }
}

impl Page {
    /// Reads the values of `page` (1 and up, 1 if absent) and `per_page` (1 to 200, 20 if absent) as they stand in the
    /// query. The refusal names the parameter.
    ///
    /// # Errors
    /// If one is not a whole number within its bounds.
    pub fn parse(page: Option<&str>, per_page: Option<&str>) -> Result<Self, Refusal> {
        let number = match page.map(whole) {
            None => 1,
            Some(Some(number)) if number >= 1 => number,
            Some(_) => return Err(Refusal::field("page", "must be a whole number, 1 or more.")),
        };
        let size = match per_page.map(whole) {
            None => USUAL_PAGE,
            Some(Some(size)) if (1..=LARGEST_PAGE).contains(&size) => size,
            Some(_) => {
                let message = format!("must be a whole number between 1 and {LARGEST_PAGE}.");
                return Err(Refusal::field("per_page", message));
            }
        };
        Ok(Self { number, size })
    }

    /// The number of the page, from 1.
    pub fn number(self) -> u32 {
        self.number
    }

    /// How many items it may have; the `LIMIT` of the query.
    pub fn size(self) -> u32 {
        self.size
    }

    /// How many items come before it; the `OFFSET` of the query.
    pub fn offset(self) -> i64 {
        i64::from(self.number - 1) * i64::from(self.size)
    }

    /// The items of this page, where the whole list is at hand.
    pub fn of<T>(self, items: &[T]) -> &[T] {
        let start = usize::try_from(self.offset()).unwrap_or(usize::MAX).min(items.len());
        let end = usize::try_from(self.size).unwrap_or(usize::MAX).saturating_add(start).min(items.len());
        items.get(start..end).unwrap_or_default()
    }

    /// Where the other pages of a list of `total` items are. `address` is the absolute URL of the list without its
    /// query (clients parse it, and some fetch it as it is); `query` is the request's own, without the question mark,
    /// of which everything but `page` is kept.
    ///
    /// `first` and `prev` are there unless this is the first page, `next` and `last` unless it is the last or behind
    /// it; so a list of one page has none, and the wire says `links: {}`.
    pub fn links(self, address: &str, query: &str, total: u64) -> Links {
        let last = total.div_ceil(u64::from(self.size)).max(1);
        let number = u64::from(self.number);
        let url = |page: u64| -> String {
            let mut parameters = Serializer::new(String::new());
            for (key, value) in form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key != "page") {
                parameters.append_pair(&key, &value);
            }
            format!("{address}?{}", parameters.append_pair("page", &page.to_string()).finish())
        };
        let (back, forward) = (number > 1, number < last);
        Links {
            first: back.then(|| url(1)),
            // From behind the end, back to the end.
            prev: back.then(|| url((number - 1).min(last))),
            next: forward.then(|| url(number + 1)),
            last: forward.then(|| url(last)),
        }
    }
}

/// Digits and nothing else; a number too large for us is as good as the largest.
fn whole(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

/// Absolute URLs of other pages.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Links {
    /// The first page.
    pub first: Option<String>,
    /// The page before this one.
    pub prev: Option<String>,
    /// The page after this one.
    pub next: Option<String>,
    /// The last page.
    pub last: Option<String>,
}

impl Links {
    /// Whether there are none, in which case the wire has no `pages` at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIST: &str = "https://cloud.example/v2/droplets";

    fn page(number: u32, size: u32) -> Page {
        Page::parse(Some(&number.to_string()), Some(&size.to_string())).unwrap()
    }

    #[test]
    fn bounds() {
        assert_eq!(Page::parse(None, None).unwrap(), Page::default());
        assert_eq!((page(3, 200).number(), page(3, 200).size(), page(3, 200).offset()), (3, 200, 400));
        for bad in ["0", "-1", "", "x", "1.5", "+1", " 1", "0x1"] {
            assert_eq!(Page::parse(Some(bad), None).unwrap_err().field.as_deref(), Some("page"), "{bad}");
            assert_eq!(Page::parse(None, Some(bad)).unwrap_err().field.as_deref(), Some("per_page"), "{bad}");
        }
        assert!(Page::parse(None, Some("201")).unwrap_err().message.contains("between 1 and 200"));
        let far = Page::parse(Some("99999999999999999999"), Some("200")).unwrap();
        assert_eq!(far.offset(), i64::from(u32::MAX - 1) * 200);
        assert_eq!(far.of(&[1, 2, 3]), &[] as &[i32]);
    }

    #[test]
    fn one_page_has_no_links() {
        for total in [0, 1, 20] {
            assert!(Page::default().links(LIST, "", total).is_empty());
        }
        assert!(!Page::default().links(LIST, "", 21).is_empty());
    }

    #[test]
    fn links_of_the_first_a_middle_and_the_last_page() {
        let query = "tag_name=a%20b&page=2&per_page=2";
        let url = |n| Some(format!("{LIST}?tag_name=a+b&per_page=2&page={n}"));
        assert_eq!(page(1, 2).links(LIST, query, 5), Links { first: None, prev: None, next: url(2), last: url(3) });
        assert_eq!(page(2, 2).links(LIST, query, 5), Links { first: url(1), prev: url(1), next: url(3), last: url(3) });
        assert_eq!(page(3, 2).links(LIST, query, 5), Links { first: url(1), prev: url(2), next: None, last: None });
        assert_eq!(page(9, 2).links(LIST, query, 5), Links { first: url(1), prev: url(3), next: None, last: None });
    }

    /// Asks as godo and doctl do: from the first page along `next`, reading the page's number out of the address.
    fn walk(size: u32, total: u64) -> Vec<u64> {
        let items: Vec<u64> = (0..total).collect();
        let (mut seen, mut query) = (Vec::new(), format!("per_page={size}"));
        loop {
            let value = |key: &str| {
                form_urlencoded::parse(query.as_bytes()).find(|(k, _)| k == key).map(|(_, v)| v.into_owned())
            };
            let page = Page::parse(value("page").as_deref(), value("per_page").as_deref()).unwrap();
            seen.extend_from_slice(page.of(&items));
            let Some(next) = page.links(LIST, &query, total).next else { return seen };
            query = next.split_once('?').unwrap().1.to_owned();
        }
    }

    proptest! {
        #[test]
        fn following_next_sees_every_item_once(size in 1u32..=200, total in 0u64..700) {
            prop_assert_eq!(walk(size, total), (0..total).collect::<Vec<_>>());
        }

        #[test]
        fn other_parameters_are_kept_whatever_they_are(key in "[^=&]{1,8}", value in any::<String>()) {
            prop_assume!(key != "page");
            let query = Serializer::new(String::new()).append_pair(&key, &value).append_pair("page", "1").finish();
            let next = Page::default().links(LIST, &query, 100).next.unwrap();
            let pairs: Vec<_> = form_urlencoded::parse(next.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
            prop_assert_eq!(pairs, vec![(key, value), ("page".to_owned(), "2".to_owned())]);
            prop_assert!(next.bytes().all(|b| b.is_ascii_graphic()));
        }

        #[test]
        fn nothing_panics(number in any::<u32>(), size in any::<u32>(), total in any::<u64>(), query in any::<String>()) {
            if let Ok(page) = Page::parse(Some(&number.to_string()), Some(&size.to_string())) {
                let _ = (page.links(LIST, &query, total), page.of(&[1, 2, 3]));
            }
        }
    }
}
