//! A database of countries in MaxMind's format, held in memory.
//!
//! Source: MaxMind DB File Format Specification 2.0.

use std::net::IpAddr;

use maxminddb::{PathElement, Reader};

/// Which networks are in which country.
pub(crate) struct Countries {
    reader: Reader<Vec<u8>>,
}

/// Stands for no country that is known, where rules name one.
///
/// Source: greylist.conf(5), "GEOIP".
const NOWHERE: &[u8] = b"ZZ";

impl Countries {
    /// Takes the bytes of a file.
    ///
    /// # Errors
    /// In words, when this is no such database.
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Self, String> {
        match Reader::from_source(bytes) {
            Ok(reader) => Ok(Self { reader }),
            Err(error) => Err(format!("it is no database in MaxMind's format: {error}")),
        }
    }

    /// The code of the country of the address; unknown where the database is damaged or has no such
    /// addresses.
    pub(super) fn code(&self, address: IpAddr) -> Option<&[u8]> {
        let found = self.reader.lookup(address).ok()?;
        let path = ["country", "iso_code"].map(PathElement::Key);
        let country: Option<&str> = found.decode_path(&path).ok()?;
        Some(country.map_or(NOWHERE, str::as_bytes))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A database of IPv4 whose upper half is in France, the lower half nowhere.
    pub(crate) fn half_of_it_in_france() -> Vec<u8> {
        // One node of two records of 24 bits: "not found" is the number of nodes, and data begin
        // 16 above it.
        let mut bytes = vec![0, 0, 1, 0, 0, 17];
        bytes.extend([0; 16]);
        bytes.extend(b"\xe1\x47country\xe1\x48iso_code\x42FR");
        bytes.extend(b"\xab\xcd\xefMaxMind.com\xe9");
        bytes.extend(b"\x4anode_count\xc1\x01");
        bytes.extend(b"\x4brecord_size\xa1\x18");
        bytes.extend(b"\x4aip_version\xa1\x04");
        bytes.extend(b"\x4ddatabase_type\x44Test");
        bytes.extend(b"\x49languages\x00\x04");
        bytes.extend(b"\x5bbinary_format_major_version\xa1\x02");
        bytes.extend(b"\x5bbinary_format_minor_version\xa0");
        bytes.extend(b"\x4bbuild_epoch\x01\x02\x01");
        bytes.extend(b"\x4bdescription\xe0");
        bytes
    }

    #[test]
    fn an_address_is_in_its_country_or_nowhere() {
        let countries = Countries::read(half_of_it_in_france()).expect("a database");
        let code = |address: &str| countries.code(address.parse().expect("an address"));
        assert_eq!(code("192.0.2.1"), Some(&b"FR"[..]));
        assert_eq!(code("10.0.0.1"), Some(&b"ZZ"[..]));
        // A database of IPv4 knows nothing of IPv6.
        assert_eq!(code("2001:db8::1"), None);
    }

    #[test]
    fn another_file_is_no_database() {
        let why = Countries::read(b"racl whitelist default\n".to_vec()).err();
        let why = why.expect("an error");
        assert!(
            why.starts_with("it is no database in MaxMind's format: "),
            "{why}"
        );
    }
}
