package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"os"
	"os/exec"
	"syscall"

	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

const nobody = 65534

// A bare browser is the floor: a pipe, a page and its screencast, and nothing
// around them.
type bare struct {
	cmd     *exec.Cmd
	profile string
	conn    *cdp.Conn
	session string
	frames  chan []byte // JPEG; each is acknowledged as it comes
}

func startBare(ctx context.Context) (*bare, error) {
	profile, err := os.MkdirTemp("/dev/shm", "bench-")
	if err != nil {
		return nil, err
	}
	b := &bare{profile: profile, frames: make(chan []byte, 1024)}
	// Flags that have to do with drawing are those of flow/browserflow/chromium.
	b.cmd = exec.CommandContext(ctx, "/usr/lib/chromium/chromium", "--headless", "--disable-gpu", "--remote-debugging-pipe", "--user-data-dir="+profile, //nolint:gosec // ours
		"--window-size=1280,800", "--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--disable-extensions", "--disable-default-apps", "--disable-domain-reliability", "--disable-field-trial-config", "--disable-breakpad",
		"--password-store=basic", "--use-mock-keychain", "--mute-audio", "about:blank")
	b.cmd.Env = []string{"HOME=" + profile, "TMPDIR=" + profile, "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "DBUS_SESSION_BUS_ADDRESS=disabled:"}
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		b.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		if err := os.Chown(profile, nobody, nobody); err != nil {
			return nil, errors.Join(err, os.RemoveAll(profile))
		}
	}
	transport, files, err := cdp.NewPipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(profile))
	}
	b.cmd.ExtraFiles = files
	if err := b.cmd.Start(); err != nil {
		return nil, errors.Join(err, transport.Close(), os.RemoveAll(profile))
	}
	for _, f := range files {
		_ = f.Close()
	}
	b.conn = cdp.New(transport)
	return b, nil
}

func (b *bare) stop() {
	_ = b.conn.Close()
	_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
	_ = b.cmd.Wait()
	<-b.conn.Done()
	_ = os.RemoveAll(b.profile)
}

func (b *bare) call(ctx context.Context, method string, params map[string]any) error {
	return b.conn.Call(ctx, b.session, method, params, nil)
}

// show opens a page in the tab that the browser came with.
func (b *bare) show(ctx context.Context, url string) error {
	var targets struct {
		TargetInfos []struct{ TargetID, Type string }
	}
	if err := b.conn.Call(ctx, "", "Target.getTargets", nil, &targets); err != nil {
		return err
	}
	for _, info := range targets.TargetInfos {
		if info.Type != "page" {
			continue
		}
		var attached struct{ SessionID string }
		if err := b.conn.Call(ctx, "", "Target.attachToTarget", map[string]any{"targetId": info.TargetID, "flatten": true}, &attached); err != nil {
			return err
		}
		b.session = attached.SessionID
	}
	b.conn.HandleFrames(b.session, 0, func(f cdp.Frame) {
		b.conn.Send(b.session, "Page.screencastFrameAck", map[string]any{"sessionId": f.Ack})
		select {
		case b.frames <- f.Data:
		default:
		}
	})
	there := make(chan struct{}, 1)
	b.conn.Handle(b.session, func(e cdp.Event) {
		var n struct{ Frame struct{ URL string } }
		if e.Method == "Page.frameNavigated" && json.Unmarshal(e.Params, &n) == nil && n.Frame.URL == url {
			select {
			case there <- struct{}{}:
			default:
			}
		}
	})
	if err := b.call(ctx, "Page.enable", nil); err != nil {
		return err
	}
	if err := b.call(ctx, "Page.navigate", map[string]any{"url": url}); err != nil {
		return err
	}
	select {
	case <-there:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := b.call(ctx, "Emulation.setDeviceMetricsOverride", map[string]any{"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": false}); err != nil {
		return err
	}
	return b.call(ctx, "Page.bringToFront", nil)
}

func (b *bare) cast(ctx context.Context) error {
	return b.call(ctx, "Page.startScreencast", map[string]any{"format": "jpeg", "quality": 60, "maxWidth": 1280, "maxHeight": 800})
}

func (b *bare) uncast(ctx context.Context) error {
	err := b.call(ctx, "Page.stopScreencast", nil)
	for len(b.frames) > 0 {
		<-b.frames
	}
	return err
}

func (b *bare) next(ctx context.Context) ([]byte, error) {
	select {
	case frame := <-b.frames:
		return frame, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("no picture: %w", ctx.Err())
	}
}

func (b *bare) press(context.Context) error {
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		b.conn.Send(b.session, "Input.dispatchMouseEvent", map[string]any{"type": kind, "x": 600, "y": 400, "button": "left", "clickCount": 1})
	}
	return nil
}

// redOf tells the flip page's two colours apart.
func redOf(frame []byte) (bool, error) {
	picture, err := jpeg.Decode(bytes.NewReader(frame))
	if err != nil {
		return false, err
	}
	r, _, blue, _ := picture.At(640, 400).RGBA()
	return r > blue, nil
}
