package netguard

import "testing"

func TestLiteral(t *testing.T) {
	for host, want := range map[string]bool{
		"api.example.com": false, "8.8.8.8": false, "[2606:4700:4700::1111]": false, "2606:4700:4700::1111": false, "x.0x7g.com": false,
		"127.0.0.1": true, "[::1]": true, "::1": true, "10.1.2.3": true, "169.254.169.254": true, "[::ffff:10.0.0.1]": true,
		"localhost": true, "LOCALHOST.": true, "idp.localhost": true, "localhost.example.com": false,
		"2130706433": true, "0x7f.1": true, "0x7f000001": true, "127.1": true, "": true, ".": true,
	} {
		if got := Literal(host); got != want {
			t.Errorf("Literal(%q) = %t, want %t", host, got, want)
		}
	}
}
