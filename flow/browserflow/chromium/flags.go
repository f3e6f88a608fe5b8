package chromium

import (
	"fmt"
	"os"
	"strings"
)

// flags returns the command line. What is switched off either talks to the
// browser's maker, opens a way around the proxy, keeps something after the end, or
// shows something that no viewer can see.
func (c *config) flags(profile, proxy string, width, height int) []string {
	args := []string{
		"--remote-debugging-pipe", // descriptors 3 and 4: nothing listens
		"--user-data-dir=" + profile,
		"--disable-dev-shm-usage", // but TMPDIR: shared memory of who is killed goes with the profile
		fmt.Sprintf("--window-size=%d,%d", width, height),

		// The only way out. Loopback too goes by the proxy; no name is looked up here;
		// nothing is sent by UDP: which of the two WebRTC flags counts depends on the
		// version.
		"--proxy-server=http://" + proxy,
		"--proxy-bypass-list=<-loopback>",
		"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
		"--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
		"--webrtc-ip-handling-policy=disable_non_proxied_udp",
		"--disable-quic",

		"--disable-background-networking",
		"--disable-client-side-phishing-detection",
		"--disable-component-update",
		"--disable-default-apps",
		"--disable-domain-reliability",
		"--disable-extensions",
		"--disable-field-trial-config",
		"--disable-sync",
		"--metrics-recording-only",
		"--no-pings",
		"--disable-features=" + strings.Join(offFeatures(), ","),
		"--gaia-url=" + nowhere,
		"--gcm-checkin-url=" + nowhere,
		"--gcm-registration-url=" + nowhere,

		"--disable-breakpad", // a dump holds what was typed; one that is written goes with the profile
		"--password-store=basic",
		"--use-mock-keychain",

		"--no-first-run",
		"--no-default-browser-check",
		"--disable-search-engine-choice-screen",
		"--deny-permission-prompts",
		"--noerrdialogs",
		"--mute-audio",
		"--disable-blink-features=AutomationControlled",
	}
	if c.userAgent != "" {
		args = append(args, "--user-agent="+c.userAgent)
	}
	if !c.opts.Headed {
		args = append(args, "--headless", "--disable-gpu")
	}
	if c.opts.NoSandbox {
		args = append(args, "--no-sandbox")
	}
	return append(args, "about:blank")
}

// nowhere is a URL that the proxy refuses.
const nowhere = "http://127.0.0.1:9"

// offFeatures are what would call the browser's maker, or cast to devices nearby.
func offFeatures() []string {
	return []string{
		"AimServerRequestOnStartupEnabled", "AutofillServerCommunication", "DialMediaRouteProvider", "MediaRouter",
		"NetworkTimeServiceQuerying", "OptimizationHints", "PreconnectToSearch", "Translate",
	}
}

// environment returns all that the browser learns of ours. HOME also tells its
// processes from those of other sessions.
func (c *config) environment(dir string) []string {
	env := []string{"HOME=" + dir, "TMPDIR=" + dir, "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "DBUS_SESSION_BUS_ADDRESS=disabled:"}
	if c.opts.Headed {
		for _, name := range []string{"DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR"} {
			if value, ok := os.LookupEnv(name); ok {
				env = append(env, name+"="+value)
			}
		}
	}
	return env
}
