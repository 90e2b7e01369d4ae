//! What stands around resources: pages of a list, and the actions that a request started.

use model::ids::ActionId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How many items the whole list has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Meta {
    /// Items on all pages together.
    pub total: i64,
}

/// Beside a list: where its other pages are. An empty object when the list fits one page.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PageLinks {
    /// Absent when there is one page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pages: Option<Pages>,
}

/// Absolute URLs of other pages. `first` and `prev` are absent on the first page, `next` and `last` on the last;
/// clients stop when there is no `next`, and fetch everything up to `last` at once when there is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Pages {
    /// The first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uri")]
    pub first: Option<String>,
    /// The page before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uri")]
    pub prev: Option<String>,
    /// The page after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uri")]
    pub next: Option<String>,
    /// The last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uri")]
    pub last: Option<String>,
}

/// Beside a resource that was just asked for: the actions that make it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ActionLinks {
    /// One for each resource, in the same order.
    #[serde(default)]
    pub actions: Vec<ActionLink>,
}

/// Where to follow an action. Clients fetch `href` as it stands, so it names our own public host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ActionLink {
    /// The action.
    #[schema(value_type = i32)]
    pub id: ActionId,
    /// What the action does to the resource, such as `create`.
    pub rel: String,
    /// Absolute URL of the action.
    #[schema(format = "uri")]
    pub href: String,
}

/// A list envelope. Each list has its own type, so that its field and its schema have their own name; what pages
/// through any of them is written once, against this.
pub trait List: Sized {
    /// What is listed.
    type Item;
    /// Puts one page into its envelope.
    fn new(items: Vec<Self::Item>, links: PageLinks, meta: Meta) -> Self;
    /// The items of this page, without the envelope.
    fn into_items(self) -> Vec<Self::Item>;
    /// Where the other pages are.
    fn links(&self) -> &PageLinks;
    /// How many items there are on all pages.
    fn meta(&self) -> Meta;
}

/// Implements [`List`] for an envelope with the fields `$items`, `links` and `meta`.
macro_rules! list {
    ($envelope:ident, $items:ident, $item:ty) => {
        impl crate::envelope::List for $envelope {
            type Item = $item;
            fn new($items: Vec<$item>, links: crate::envelope::PageLinks, meta: crate::envelope::Meta) -> Self {
                Self { $items, links, meta }
            }
            fn into_items(self) -> Vec<$item> {
                self.$items
            }
            fn links(&self) -> &crate::envelope::PageLinks {
                &self.links
            }
            fn meta(&self) -> crate::envelope::Meta {
                self.meta
            }
        }
    };
}
pub(crate) use list;
