"""Which addresses may be called: the usual ways to spell one that may not, and the others."""

import ipaddress

import pytest

from paidonce.outside import BadUrl, check_url, is_public

INSIDE = [
    # loopback, in every spelling that some resolver takes
    "127.0.0.1", "127.0.0.2", "127.255.255.254", "127.1", "127.0.1", "0127.0.0.1", "0177.0.0.1",
    "0x7f.0.0.1", "0x7f.1", "0x7f000001", "0X7F000001", "2130706433", "017700000001", "127.0.0.1.",
    "0", "0.0.0.0", "0.0.0.1", "00.0.0.0", "0x0", "127.0x0.0.1", "127.0.0.01", "1.2.3.0x10",
    "4294967295", "255.255.255.255", "256.256.256.256", "1.2.3.4.5",
    # private, link-local, carriers, documentation, multicast, reserved
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255",
    "169.254.0.1", "100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1",
    "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
    "240.0.0.1",
    # the clouds' metadata
    "169.254.169.254", "0xa9fea9fe", "2852039166", "169.254.43518", "100.100.100.200",
    "192.0.0.192", "168.63.129.16", "[fd00:ec2::254]", "[fe80::a9fe:a9fe]",
    # IPv6: loopback, unspecified, unique-local, link-local, site-local, multicast, documentation
    "[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::]", "[fc00::1]", "[fd12:3456::1]",
    "[fe80::1]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[3fff::1]", "[100::1]", "[4000::1]",
    # IPv6 that carries an IPv4 address: mapped, compatible, 6to4, Teredo, NAT64, ISATAP
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]",
    "[::127.0.0.1]", "[::7f00:1]", "[2002:7f00:1::]", "[2002:a00:1::1]", "[2001:0:7f00:1::]",
    "[2001::1]", "[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]", "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::808:808]", "[2a00:1450::5efe:7f00:1]", "[2a00:1450::200:5efe:a00:1]",
    # names that only mean something inside
    "localhost", "LOCALHOST", "a.localhost", "localhost.localdomain", "intranet", "metadata",
]  # fmt: skip

NO_URLS = [
    "",
    "shop.example.com",
    "//shop.example.com",
    "http://shop.example.com/hook",
    "HTTP://shop.example.com",
    "ftp://shop.example.com",
    "file:///etc/passwd",
    "gopher://shop.example",
    "javascript:alert(1)",
    "https:",
    "https://",
    "https:///hook",
    "https:/shop.example.com",
    "https:shop.example.com",
    "https://user@shop.example.com",
    "https://user:word@shop.example.com",
    "https://shop.example.com@127.0.0.1/",
    "https://127.0.0.1\\@shop.example.com/",
    "https://shop.example.com\\.evil.example/",
    "https://shop.example.com:0/",
    "https://shop.example.com:22/",
    "https://shop.example.com:25/",
    "https://shop.example.com:80/",
    "https://shop.example.com:99999/",
    "https://shop.example.com:-1/",
    "https://shop.example.com:/",
    "https://shop.example.com:443:80/",
    "https://shop.example.com:4x3/",
    "https://[::1",
    "https://[]/",
    "https://[shop.example.com]/",
    "https://[fe80::1%25eth0]/",
    "https://shop.example.com/#part",
    "https://shop.example.com/#",
    "https://shop..example.com/",
    "https://.example.com/",
    "https://-shop.example.com/",
    "https://shop%2eexample.com/",
    "https://127.0.0.%31/",
    "https://shop.example.com/\r\nX-Header: 1",
    "https://shop.example.com/a b",
    " https://shop.example.com",
    "https://shop\t.example.com/",
    "https://\u2460\u2461\u2466.0.0.1/",
    "https://127\u30020\u30020\u30021/",
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://sh\u00f6p.example/",
    "https://shop.example.com/" + 2100 * "a",
    "https://shop.example.com,https://127.0.0.1/",
]

SAID_IN_DOCS = {"hosts": len(INSIDE), "addresses that are none": len(NO_URLS)}
"""What docs/security.md says."""

OUTSIDE = [
    "https://shop.example.com",
    "https://shop.example.com/",
    "HTTPS://Shop.Example.com/hooks?a=b&c=%20",
    "https://shop.example.com:443/x",
    "https://shop.example.com:8443/x",
    "https://shop.example.com:1024/",
    "https://xn--shp-fna.example/",
    "https://93.184.216.34/hook",
    "https://[2606:2800:220:1::34]/hook",
    "https://[64:ff9b::5db8:d822]/",
    "https://[::ffff:93.184.216.34]/",
    "https://127.0.0.1.example.com/",
    "https://1.example.com",
    "https://a_b.example.com",
    "https://11.0.0.1:2000/",
]


@pytest.mark.parametrize("host", INSIDE)
def test_a_host_inside_is_refused_however_it_is_spelled(host: str) -> None:
    for url in (f"https://{host}/hook", f"https://{host}:8443/", f"HTTPS://{host}"):
        with pytest.raises(BadUrl):
            check_url(url)
    bare = host.strip("[]")
    assert not is_public(bare)


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_plain_https_url_is_refused(url: str) -> None:
    with pytest.raises(BadUrl):
        check_url(url)


@pytest.mark.parametrize("url", OUTSIDE)
def test_a_public_host_is_let_through(url: str) -> None:
    assert check_url(url) is False
    assert check_url(url, allows_loopback=True) is False


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/hook", "http://localhost:8000", "https://localhost/", "http://[::1]:80/"],
)
def test_loopback_is_for_development_only(url: str) -> None:
    assert check_url(url, allows_loopback=True) is True
    with pytest.raises(BadUrl):
        check_url(url)


@pytest.mark.parametrize("host", ["10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "127.1"])
def test_development_opens_loopback_and_nothing_else(host: str) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(BadUrl):
            check_url(f"{scheme}://{host}:8000/", allows_loopback=True)


def test_no_address_that_python_calls_private_is_public() -> None:
    """The edges of every network that the standard library knows as not global."""
    networks = [
        *ipaddress.IPv4Address._constants._private_networks,  # type: ignore[attr-defined]
        *ipaddress.IPv6Address._constants._private_networks,  # type: ignore[attr-defined]
    ]
    assert len(networks) > 20
    for network in networks:
        for address in (network[0], network[-1], network[network.num_addresses // 2]):
            mapped = getattr(address, "ipv4_mapped", None)
            if mapped is None or not mapped.is_global:
                assert not is_public(str(address)), network
