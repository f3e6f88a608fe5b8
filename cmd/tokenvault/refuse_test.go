package main

import (
	"database/sql"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mustRefuse runs the command, which must fail with one line that holds all of
// want, and change nothing below dir.
func mustRefuse(t *testing.T, dir string, env, args []string, want ...string) {
	t.Helper()
	before := tree(t, dir)
	got := execute(t, env, args...)
	if got.status == 0 {
		t.Errorf("tokenvault %s succeeds", strings.Join(args, " "))
	}
	if got.out != "" {
		t.Errorf("it prints %q", got.out)
	}
	if !strings.HasPrefix(got.err, "tokenvault: error: ") || strings.Count(got.err, "\n") != 1 {
		t.Errorf("the error is not one line of ours:\n%s", got.err)
	}
	for _, part := range want {
		if !strings.Contains(got.err, part) {
			t.Errorf("the error does not say %q:\n%s", part, got.err)
		}
	}
	for _, inner := range []string{"sqlite: ", "goose", "panic", "goroutine", "%!", "<nil>", "0x"} {
		if strings.Contains(strings.Replace(got.err, "sqlite: open ", "", 1), inner) {
			t.Errorf("the error tells of the inside, %q:\n%s", inner, got.err)
		}
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("it changes files (-before +after):\n%s", diff)
	}
}

func TestRefuseInput(t *testing.T) {
	for _, tc := range []struct {
		args string // words; '' is an empty one
		want string
	}{
		{"", "see 'tokenvault --help'"},
		{"sevre", `unexpected argument sevre, did you mean "serve"?: see 'tokenvault --help'`},
		{"serve now", "unexpected argument now: see 'tokenvault serve --help'"},
		{"serve --listn x", "unknown flag --listn"},
		{"serve --mode cloud", `--mode must be one of "local","session"`},
		{"app set github", "missing flags: --client-id=STRING: see 'tokenvault app set --help'"},
		{"app set github --client-id ''", "--client-id: must be 1 to 500"},
		{"app set githb --client-id a", `unknown provider "githb": see 'tokenvault provider list'`},
		{"app set github --client-id a --secret-file missing", "missing cannot be read (no such file or directory): name another with --secret-file"},
		{"app delete github", `no app is registered for "github": see 'tokenvault app list'`},
		{"apikey create", "see 'tokenvault apikey create --help'"},
		{"apikey create agent", "--user: an agent key acts for one owner: name the user"},
		{"apikey create '' --user local", "name: must be 1 to 255 bytes"},
		{"apikey create shop --kind backend --user local", "--user: must be empty for a backend"},
		{"apikey create shop --kind user", `--kind must be one of "agent","backend","admin"`},
		{"apikey create a --user local --ttl=-1h", "--ttl: must not be negative"},
		{"apikey create a --user local --ttl soon", "--ttl: expected duration"},
		{"apikey revoke", `expected "<id>": see 'tokenvault apikey revoke --help'`},
		{"apikey revoke nobody", `no key in force has the id "nobody": see 'tokenvault apikey list'`},
		{"connect github", "no API key: create one with 'tokenvault apikey create'"},
		{"connect github --api-key-file missing", "missing cannot be read (no such file or directory): name another with --api-key-file"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			env := []string{"TOKENVAULT_DATA_DIR=" + data}
			succeed(t, env, "app", "list") // makes database and key
			mustRefuse(t, data, env, words(tc.args), tc.want)
		})
	}
}

func words(text string) []string {
	list := strings.Fields(text)
	for i, word := range list {
		if word == "''" {
			list[i] = ""
		}
	}
	return list
}

// A setting that is wrong is found before anything is created.
func TestRefuseSettings(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{"--data-dir ''", "data-dir: must name a directory"},
		{"--key-file missing/key.json", "key-file: the directory of "},
		{"--metrics-listen 9464", "metrics-listen: must be host:port, such as 127.0.0.1:9464"},
		{"--listen 8420", "listen: must be host:port, such as 127.0.0.1:8420"},
		{"--listen 127.0.0.1:99999", "listen: must be host:port, such as 127.0.0.1:8420"},
		{"--listen 0.0.0.0:0", "listen: must be a loopback address"},
		{"--listen 0.0.0.0:0 --public-url https://vault.example.com", "else use mode session"},
		{"--listen 0.0.0.0:0 --mode session --session-url https://a.example/me --session-cookies s", "public-url: must be set"},
		{"--public-url vault.example.com", "public-url: must be an https origin such as"},
		{"--public-url http://vault.example.com", "http is for loopback names only"},
		{"--public-url https://vault.example.com/app", "public-url: must be an https origin"},
		{"--mount vault", "mount: must begin with a slash"},
		{"--browser firefox", `--browser must be one of "off","chromium","remote"`},
		{"--browser remote", "browser-url-file: must name the file of the URL of the remote browser"},
		{"--browser remote --browser-url-file x --browser-user y", "browser-user: is without effect while browser is remote: set browser to chromium, or leave it out"},
		{"--browser-exclusive", "browser-exclusive: is without effect while browser is off: set browser to remote, or leave it out"},
		{"--mode assertion", "assertion-issuer, and assertion-keys or assertion-keys-url: must be set in mode assertion"},
		{"--mode assertion --assertion-issuer a --assertion-keys k", "origins: must name the host's origin in mode assertion"},
		{"--mode signin", "oidc-issuer, oidc-client-id: must be set in mode signin"},
		{"--mode signin --oidc-issuer http://login.example.com --oidc-client-id vault", "oidc-issuer, oidc-client-id: must be set in mode signin"},
		{"--oidc-issuer https://login.example.com", "oidc-issuer: is for mode signin only"},
		{"--mode verifier --verify-url https://a.example --sign-in-url /x", "sign-in-url: is for mode session or assertion only"},
		{"--session-ttl 25h", "session-ttl: must be more than nothing and at most 24h"},
		{"--mode session", "session-url, session-cookies: must be set in mode session"},
		{"--mode session --session-url me --session-cookies s", "session-url: must be a URL such as"},
		{"--limit-key=-1", "limit-key: must be a number from 0, which is no limit"},
		{"--limit-failures 1e9", "limit-failures: must be a number from 0"},
		{"--trusted-proxies everywhere", "trusted-proxies: each must be an address or a range, such as 10.0.0.7"},
		{"--allow-hosts nowhere", "allow-hosts: each must be host:port, such as"},
		{"--allow-hosts a.example:1,:443", "allow-hosts: each must be host:port"},
		{"--allow-hosts a.example:https", "allow-hosts: each must be host:port"},
		{"--origins app.example.com", "origins: each must be an https origin such as"},
		{"--origins https://app.example.com/", "origins: each must be an https origin such as"},
		{"--origins http://app.example.com", "origins: each must be an https origin such as"},
		{"--return-urls done", "return-urls: each must be a URL such as"},
		{"--auth-request-ttl 0s", "auth-request-ttl: must be more than nothing, such as 24h"},
		{"--attempt-ttl=-1m", "attempt-ttl: must be more than nothing, such as 10m"},
		{"--provider-files missing.yaml", "missing.yaml cannot be read"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			dir := t.TempDir()
			env := []string{"TOKENVAULT_DATA_DIR=" + filepath.Join(dir, "data"), "TOKENVAULT_LISTEN=127.0.0.1:0"}
			mustRefuse(t, dir, env, append([]string{"serve"}, words(tc.args)...), tc.want)
			mustRefuse(t, dir, env, append([]string{"app", "list"}, words(tc.args)...), tc.want)
		})
	}
}

// What only the server needs is found before anything is created, too.
func TestRefuseFilesOfUsers(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"TOKENVAULT_DATA_DIR=" + filepath.Join(dir, "data"), "TOKENVAULT_LISTEN=127.0.0.1:0", "TOKENVAULT_ORIGINS=https://app.example"}
	assertion := "serve --mode assertion --assertion-issuer a --assertion-keys "
	oidc := "serve --mode signin --oidc-issuer https://login.example --oidc-client-id v --oidc-client-secret-file "
	for args, want := range map[string]string{
		"serve --browser remote --browser-url-file /nowhere": "browser-url-file: /nowhere cannot be read (no such file or directory)",
		"serve --browser remote --browser-url-file " + empty: "browser: the URL of the remote browser must be one of ws, wss, http or https: see 'tokenvault check', or set browser to off",
		assertion + "/nowhere":                               "assertion-keys: /nowhere cannot be read (no such file or directory)",
		assertion + empty:                                    "assertion-keys: " + empty + ": must be public keys",
		oidc + "/nowhere":                                    "oidc-client-secret-file: /nowhere cannot be read (no such file or directory)",
		oidc + empty:                                         "oidc-client-secret-file: " + empty + " is empty: leave the setting out for a public client",
	} {
		mustRefuse(t, dir, env, words(args), want)
	}
}

// A site is a machine on which somebody has run commands already.
type site struct {
	root, data string
	t          *testing.T
}

func newSite(t *testing.T) site {
	t.Helper()
	root := t.TempDir()
	s := site{root, filepath.Join(root, "data"), t}
	succeed(t, s.env(), "apikey", "create", "agent", "--user", "local")
	return s
}

func (s site) env() []string {
	return []string{"TOKENVAULT_DATA_DIR=" + s.data, "TOKENVAULT_LISTEN=127.0.0.1:0"}
}

// mustRefuse runs all commands that open the data directory, and check, which
// reports what the others fail with.
func (s site) mustRefuse(want ...string) {
	s.t.Helper()
	for _, args := range []string{"serve", "app list", "apikey create other --user local"} {
		mustRefuse(s.t, s.root, s.env(), words(args), want...)
	}
	before := tree(s.t, s.root)
	got := execute(s.t, s.env(), "check")
	_, failure, _ := strings.Cut(got.out, "FAIL  data ")
	for _, part := range want {
		if !strings.Contains(failure, part) {
			s.t.Errorf("check does not say %q:\n%s", part, got.out)
		}
	}
	if got.status == 0 || got.err != "1 problem\n" {
		s.t.Errorf("check: status %d, %q", got.status, got.err)
	}
	if diff := cmp.Diff(before, tree(s.t, s.root)); diff != "" {
		s.t.Errorf("check changes files (-before +after):\n%s", diff)
	}
}

// change does what must succeed.
func (s site) change(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestRefuseDataDir(t *testing.T) {
	t.Run("a file", func(t *testing.T) {
		s := newSite(t)
		s.data = filepath.Join(s.root, "file")
		s.change(os.WriteFile(s.data, nil, 0o600))
		s.mustRefuse("data-dir: "+s.data+" is a file", "name a directory")
	})
	t.Run("below a file", func(t *testing.T) {
		s := newSite(t)
		s.change(os.WriteFile(filepath.Join(s.root, "file"), nil, 0o600))
		s.data = filepath.Join(s.root, "file", "data")
		s.mustRefuse("data-dir: "+s.data+" cannot be created", "with --data-dir")
	})
	t.Run("not writable", func(t *testing.T) {
		s := newSite(t)
		s.data = readOnly(t)
		s.mustRefuse("data-dir: "+s.data+" cannot be written", "with --data-dir")
		s.data = filepath.Join(s.data, "data")
		s.mustRefuse("data-dir: "+s.data+" cannot be created", "with --data-dir")
	})
	t.Run("open to others", func(t *testing.T) {
		s := newSite(t)
		s.change(os.Chmod(s.data, 0o755))
		s.mustRefuse("data-dir: "+s.data+" can be entered by others", "run 'chmod 700 "+s.data+"'")
	})
}

// readOnly returns a directory in which nothing can be created. Permissions do
// not bind root; the kernel's own file system does.
func readOnly(t *testing.T) string {
	t.Helper()
	if os.Geteuid() == 0 && runtime.GOOS == "linux" {
		return "/proc"
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestK3RefuseKeyFile(t *testing.T) {
	t.Run("corrupt", func(t *testing.T) {
		s := newSite(t)
		s.change(os.WriteFile(s.key(), []byte("hunter2"), 0o600))
		s.mustRefuse("key file "+s.key()+": is not a key file, or is damaged", "restore it from your backup")
	})
	t.Run("corrupt before the first start", func(t *testing.T) {
		s := newSite(t)
		s.change(os.RemoveAll(s.data))
		s.change(os.Mkdir(s.data, 0o700))
		s.change(os.WriteFile(s.key(), []byte("hunter2"), 0o600))
		s.mustRefuse("key file "+s.key()+": is not a key file, or is damaged", "restore it from your backup")
	})
	t.Run("of another vault", func(t *testing.T) {
		s, other := newSite(t), newSite(t)
		text, err := os.ReadFile(other.key())
		s.change(err)
		s.change(os.WriteFile(s.key(), text, 0o600))
		s.mustRefuse("the root key does not open this store's data", "use the key that the data was sealed with")
	})
	t.Run("missing", func(t *testing.T) {
		s := newSite(t)
		s.change(os.Remove(s.key()))
		s.mustRefuse("key file "+s.key()+" is missing", "restore it from your backup")
	})
	t.Run("open to others", func(t *testing.T) {
		s := newSite(t)
		s.change(os.Chmod(s.key(), 0o644))
		s.mustRefuse(s.key()+" can be read or written by others", "run 'chmod 600 "+s.key()+"'")
	})
}

func (s site) key() string { return filepath.Join(s.data, "root-key.json") }

func (s site) database() string { return filepath.Join(s.data, "tokenvault.db") }

func TestRefuseDatabase(t *testing.T) {
	t.Run("newer schema", func(t *testing.T) {
		s := newSite(t)
		db, err := sql.Open("sqlite", s.database())
		s.change(err)
		_, err = db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
		s.change(err)
		s.change(db.Close())
		s.mustRefuse(s.database(), "the database has schema version 9999", "upgrade the binary")
	})
	t.Run("no database", func(t *testing.T) {
		s := newSite(t)
		s.change(os.WriteFile(s.database(), []byte(strings.Repeat("no database ", 1000)), 0o600))
		s.mustRefuse(s.database(), "not a database, or damaged", "restore the file from a backup")
	})
}
