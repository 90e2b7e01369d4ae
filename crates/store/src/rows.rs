//! Reading columns into the product's types, in one place so that a corrupt value is one kind of error.

use crate::{Error, Result};
use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Column readers by name.
pub(crate) trait Columns {
    fn word<T: FromStr>(&self, column: &str) -> Result<T>;
    fn word_or_null<T: FromStr>(&self, column: &str) -> Result<Option<T>>;
    fn time(&self, column: &str) -> Result<Timestamp>;
    fn time_or_null(&self, column: &str) -> Result<Option<Timestamp>>;
    fn address(&self, column: &str) -> Result<Ipv4Addr>;
    fn address_or_null(&self, column: &str) -> Result<Option<Ipv4Addr>>;
    fn range(&self, column: &str) -> Result<Ipv4Net>;
    fn range_or_null(&self, column: &str) -> Result<Option<Ipv4Net>>;
    fn json_or_null<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>>;
}

fn corrupt(column: &str, value: &str) -> Error {
    Error::Corrupt(format!("column {column} holds `{value}`"))
}

fn v4(column: &str, address: IpAddr) -> Result<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(address) => Err(corrupt(column, &address.to_string())),
    }
}

fn net4(column: &str, net: ipnet::IpNet) -> Result<Ipv4Net> {
    match net {
        ipnet::IpNet::V4(net) => Ok(net),
        ipnet::IpNet::V6(net) => Err(corrupt(column, &net.to_string())),
    }
}

impl Columns for PgRow {
    fn word<T: FromStr>(&self, column: &str) -> Result<T> {
        let text: &str = self.try_get(column)?;
        text.parse().map_err(|_| corrupt(column, text))
    }

    fn word_or_null<T: FromStr>(&self, column: &str) -> Result<Option<T>> {
        let text: Option<&str> = self.try_get(column)?;
        text.map(|text| text.parse().map_err(|_| corrupt(column, text))).transpose()
    }

    fn time(&self, column: &str) -> Result<Timestamp> {
        Ok(self.try_get::<jiff_sqlx::Timestamp, _>(column)?.to_jiff())
    }

    fn time_or_null(&self, column: &str) -> Result<Option<Timestamp>> {
        Ok(self.try_get::<Option<jiff_sqlx::Timestamp>, _>(column)?.map(jiff_sqlx::Timestamp::to_jiff))
    }

    fn address(&self, column: &str) -> Result<Ipv4Addr> {
        v4(column, self.try_get::<ipnet::IpNet, _>(column)?.addr())
    }

    fn address_or_null(&self, column: &str) -> Result<Option<Ipv4Addr>> {
        self.try_get::<Option<ipnet::IpNet>, _>(column)?.map(|net| v4(column, net.addr())).transpose()
    }

    fn json_or_null<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>> {
        let value: Option<serde_json::Value> = self.try_get(column)?;
        value
            .map(|value| serde_json::from_value(value.clone()).map_err(|_| corrupt(column, &value.to_string())))
            .transpose()
    }

    fn range(&self, column: &str) -> Result<Ipv4Net> {
        net4(column, self.try_get(column)?)
    }

    fn range_or_null(&self, column: &str) -> Result<Option<Ipv4Net>> {
        self.try_get::<Option<ipnet::IpNet>, _>(column)?.map(|net| net4(column, net)).transpose()
    }
}
