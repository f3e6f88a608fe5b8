// Command chromedp opens a page with a captured state, as a program that uses
// chromedp would: chromedp STATE URL READY prints the page's title once it starts with
// READY.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

type state struct {
	Cookies []struct {
		Name, Value, Domain, Path, SameSite string
		Expires                             float64
		HTTPOnly, Secure                    bool
	}
	Origins []struct {
		Origin       string
		LocalStorage []struct{ Name, Value string }
	}
}

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func run(file, url, ready string) error {
	text, err := os.ReadFile(file) //nolint:gosec // the test names it
	if err != nil {
		return err
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath("/usr/lib/chromium/chromium")}
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // of this test's own site
	}
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithAllocatorOptions(options...))
	defer cancel()
	var cookies []*network.CookieParam
	for _, c := range s.Cookies {
		p := &network.CookieParam{
			Name: c.Name, Value: c.Value, Domain: c.Domain, Path: c.Path, SameSite: network.CookieSameSite(c.SameSite), HTTPOnly: c.HTTPOnly, Secure: c.Secure,
		}
		if c.Expires > 0 {
			p.Expires = cdp.TimeSinceEpoch(c.Expires)
		}
		cookies = append(cookies, p)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		return err
	}
	if _, err := chromedp.Run(ctx, func(ctx context.Context, _ *chromedp.Target) (cdp.Empty, error) {
		return chromedp.Call(ctx, network.SetCookies, network.SetCookiesParams{Cookies: cookies})
	}); err != nil {
		return err
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		return err
	}
	for ctx.Err() == nil {
		title, err := chromedp.Run(ctx, chromedp.Title())
		if err != nil {
			return err
		}
		if strings.HasPrefix(title, ready) {
			_, err := fmt.Println(title)
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return ctx.Err()
}
