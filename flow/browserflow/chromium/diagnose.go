package chromium

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

// What to do, as Diagnose and refusals say it.
const (
	chromiumFix = "Debian: apt-get install chromium"
	userFix     = "Debian: useradd --system --no-create-home --shell /usr/sbin/nologin tokenvault-browser"
	sandboxFix  = "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0, kernel.apparmor_restrict_unprivileged_userns=0), or in a container its seccomp profile"
	fontsFix    = "Debian: apt-get install fonts-liberation fonts-noto-core fonts-noto-cjk"
)

// A Finding is what Diagnose says of one thing.
type Finding struct {
	Subject string // "chromium", "user", "profiles", "fonts", "start"
	OK      bool
	Text    string // what was found, or what is wrong and what to do
}

// Diagnose tries all that browsers need on this machine, and starts one. A finding
// that is not OK and is not of fonts or profiles means that none can be started.
func Diagnose(ctx context.Context, opts Options) []Finding {
	var all []Finding
	add := func(subject string, err error, text string) bool {
		if err != nil {
			text = err.Error()
		}
		all = append(all, Finding{Subject: subject, OK: err == nil, Text: text})
		return err == nil
	}
	path, err := find(opts.Path)
	ok := add("chromium", err, path)
	account, err := findAccount(opts.User)
	ok = add("user", err, who(account, opts.User)) && ok
	all = append(all, fonts())
	if !ok {
		return all
	}
	c, err := configure(ctx, opts)
	if err != nil {
		add("start", err, "")
		return all
	}
	all = append(all, c.profiles())
	version, err := c.try(ctx)
	add("start", err, version+" starts, in its sandbox")
	if opts.NoSandbox && err == nil {
		all[len(all)-1].Text = version + " starts, without its sandbox: a page that breaks out is the browser's user at once"
	}
	return all
}

func who(a *account, name string) string {
	if a == nil {
		return "browsers run as the server's own user"
	}
	return "browsers run as " + name
}

func (c *config) profiles() Finding {
	f := Finding{Subject: "profiles", OK: true, Text: "in " + c.parent}
	free, inMemory := room(c.parent)
	switch {
	case !inMemory:
		f.OK, f.Text = false, "in "+c.parent+", on disk: what a login leaves there until its end can be found on the disk later. Mount /dev/shm, or a tmpfs for browser-profile-dir"
	case free < leastRoom:
		f.OK, f.Text = false, fmt.Sprintf("in %s, which has room for %d MiB only: give it 256 MiB for each browser (containers: --shm-size)", c.parent, free>>20)
	}
	return f
}

// fonts looks for any font file: without one, pages are blank boxes.
func fonts() Finding {
	places := []string{"/usr/share/fonts", "/usr/local/share/fonts", "/System/Library/Fonts"}
	for _, place := range places {
		found := false
		_ = filepath.WalkDir(place, func(path string, _ fs.DirEntry, err error) error {
			switch strings.ToLower(filepath.Ext(path)) {
			case ".ttf", ".otf", ".ttc", ".pfb":
				if err == nil {
					found = true
					return fs.SkipAll
				}
			}
			return nil
		})
		if found {
			return Finding{Subject: "fonts", OK: true, Text: "in " + place}
		}
	}
	return Finding{Subject: "fonts", Text: "none found: pages are shown without letters (" + fontsFix + ")"}
}

// try starts a browser, asks its version, and ends it.
func (c *config) try(ctx context.Context) (string, error) {
	m, err := c.boot(ctx, 800, 600)
	if err != nil {
		return "", err
	}
	defer func() { _ = m.end(context.WithoutCancel(ctx)) }()
	conn := cdp.New(m.transport)
	defer func() { _ = conn.Close() }()
	var version struct{ Product string }
	if err := conn.Call(ctx, "", "Browser.getVersion", nil, &version); err != nil {
		return "", m.blame(ctx, err)
	}
	return strings.Replace(version.Product, "Headless", "", 1), nil
}
