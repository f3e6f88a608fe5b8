// Command serve serves the bank of package site to the end-to-end rig. Its first line
// of output is what the rig needs to know, as JSON; each line of input is answered
// with the one-time code of now. The line forget signs everybody out first; a name
// makes the account that person's. It ends with its input.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/browsertest/site"
)

func main() {
	if err := serve(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	s, err := site.Start()
	if err != nil {
		return err
	}
	driven := s.Provider()
	driven.ID, driven.Name, driven.UsageMode = "driven-bank", "Driven Bank", tokenvault.UsageSession
	providers := []tokenvault.Provider{s.Provider(), driven}
	for _, page := range []string{"dialogs", "upload", "text", "select", "basic"} {
		asking := s.Provider()
		login := *asking.Login
		login.URL = s.Bank + "/" + page
		asking.ID, asking.Name, asking.Login = "ask-"+page, "Asking Bank", &login
		providers = append(providers, asking)
	}
	said := json.NewEncoder(os.Stdout)
	if err := said.Encode(map[string]any{
		"bank": s.Bank, "ident": s.Ident, "user": site.User, "password": site.Password,
		"allowHosts": s.AllowHosts(), "providers": providers,
	}); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch lines.Text() {
		case "forget":
			s.ForgetSessions()
		case "alice", "bob":
			s.BelongTo(lines.Text())
		}
		if err := said.Encode(s.Code()); err != nil {
			return err
		}
	}
	return s.Close()
}
