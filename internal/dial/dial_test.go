package dial

import (
	"crypto/tls"
	"testing"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string][2]string{
		"10.0.0.7:5555":      {"tcp", "10.0.0.7:5555"},
		"unix:/run/gcd.sock": {"unix", "/run/gcd.sock"},
		"unix:a:b":           {"unix", "a:b"},
		"unix:":              {"unix", ""},
	} {
		if network, address := Split(addr); network != want[0] || address != want[1] {
			t.Errorf("%s is %s and %q, want %v", addr, network, address, want)
		}
	}
}

func TestIsAlert(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{
		"\x15\x03\x03\x00\x02\x02\x28": true, "\x15\x03": true,
		"\x15": false, "": false, "\x16\x03": false, "+OK": false,
	} {
		if IsAlert([]byte(answer)) != want {
			t.Errorf("%q: want %v", answer, want)
		}
	}
}

// Those who have no certificate config have no TLS.
func TestConfigOfNothing(t *testing.T) {
	t.Parallel()
	if config, err := Config(nil, "unix:/run/gcd.sock"); config != nil || err != nil {
		t.Errorf("nothing has become %v, %v", config, err)
	}
	if config, err := Config(&tls.Config{InsecureSkipVerify: true}, "unix:/x"); config.ServerName != "" || err != nil {
		t.Errorf("a config that checks nothing needs no name: %v", err)
	}
}
