package suite

import (
	"bufio"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// connectProxy is a CONNECT proxy that alone knows where deployment.test is,
// so that what does not go through it goes nowhere.
type connectProxy struct {
	listener net.Listener
	user     *url.Userinfo
	mu       sync.Mutex
	targets  []string
}

func newProxy(t *testing.T, user *url.Userinfo) *connectProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &connectProxy{listener: l, user: user}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *connectProxy) url(user *url.Userinfo) string {
	return (&url.URL{Scheme: "http", User: user, Host: p.listener.Addr().String()}).String()
}

func (p *connectProxy) allowed(r *http.Request) bool {
	if p.user == nil {
		return true
	}
	scheme, word, _ := strings.Cut(r.Header.Get("Proxy-Authorization"), " ")
	text, _ := base64.StdEncoding.DecodeString(word)
	return strings.EqualFold(scheme, "basic") && string(text) == p.user.Username()+":"+mustPassword(p.user)
}

func mustPassword(u *url.Userinfo) string {
	password, _ := u.Password()
	return password
}

func (p *connectProxy) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.targets = append(p.targets, r.Method+" "+r.Host)
	p.mu.Unlock()
	host, port, _ := net.SplitHostPort(r.Host)
	switch {
	case !p.allowed(r):
		io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
		return
	case r.Method != "CONNECT" || host != "deployment.test":
		io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		return
	}
	to, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer to.Close()
	io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		io.Copy(to, in)
		to.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(c, to)
}

func (p *connectProxy) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.targets...)
}

// behind gives the deployment a name that only the proxy can resolve.
func behind(t *testing.T, args ...string) *deployment {
	t.Helper()
	d := servePeer(t, append([]string{"--tls", "--direct", "off"}, args...)...)
	u, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	d.URL = "https://deployment.test:" + u.Port()
	return d
}

// throughProxy: the name resolves nowhere but in the proxy, so REST, watch,
// coordinate and relay have all gone through it when the script has run.
func throughProxy(t *testing.T, args ...string) {
	t.Helper()
	user := url.UserPassword("me", "a word:%")
	proxy := newProxy(t, user)
	d := behind(t, args...)
	d.spawn([]string{"HTTPS_PROXY=" + proxy.url(user)}, "run", "--workspace", "peerws", example("hello.lua")).expect(0, "foo\n")
	seen := proxy.seen()
	if len(seen) < 4 {
		t.Errorf("only %d requests came: %v", len(seen), seen)
	}
	want := "CONNECT " + strings.TrimPrefix(d.URL, "https://")
	for _, target := range seen {
		if target != want {
			t.Errorf("%s, want %s", target, want)
		}
	}
	t.Logf("%d connections", len(seen))
}

func TestProxyRelayByUpgrade(t *testing.T) { throughProxy(t) }
func TestProxyRelayByWebSocket(t *testing.T) {
	throughProxy(t, "--derp-force-websockets")
}
func TestProxyRelayRefusesUpgrade(t *testing.T) {
	throughProxy(t, "--derp-websocket-only")
}

func TestProxyRefuses(t *testing.T) {
	proxy := newProxy(t, url.UserPassword("me", "right"))
	d := behind(t)
	env := []string{"https_proxy=" + proxy.url(url.UserPassword("me", "wrong-marker"))}
	p := d.spawn(env, "run", "--workspace", "peerws", example("hello.lua"))
	if status := p.wait(30 * time.Second); status == 0 {
		t.Error("status 0")
	}
	for _, text := range []string{"407", "proxy " + proxy.listener.Addr().String(), "deployment.test"} {
		if !strings.Contains(p.stderr.String(), text) {
			t.Errorf("stderr lacks %q", text)
		}
	}
	if strings.Contains(p.stderr.String(), "wrong-marker") {
		t.Error("the password was printed")
	}
}

// Loopback and what NO_PROXY names are reached without it.
func TestProxyLeftOut(t *testing.T) {
	proxy := newProxy(t, nil)
	env := []string{"HTTPS_PROXY=" + proxy.url(nil), "HTTP_PROXY=" + proxy.url(nil), "ALL_PROXY=" + proxy.url(nil)}
	servePeer(t).spawn(env, "run", "--workspace", "peerws", example("hello.lua")).expect(0, "foo\n")
	p := behind(t).spawn(append(env, "NO_PROXY=.other.test, deployment.test"), "run", "--workspace", "peerws", example("hello.lua"))
	if status := p.wait(30 * time.Second); status == 0 {
		t.Error("a name that only the proxy knows was found")
	}
	if seen := proxy.seen(); len(seen) != 0 {
		t.Errorf("the proxy saw %v", seen)
	}
}
