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

// connectProxy answers CONNECT to deployment.test, which no resolver knows, and counts.
type connectProxy struct {
	listener net.Listener
	target   string // where deployment.test is
	password string // "user:password", or "": anybody
	mu       sync.Mutex
	connects int
	refused  int
}

func (p *connectProxy) count() (connects, refused int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connects, p.refused
}

func (p *connectProxy) allows(r *http.Request) bool {
	scheme, given, _ := strings.Cut(r.Header.Get("Proxy-Authorization"), " ")
	want := base64.StdEncoding.EncodeToString([]byte(p.password))
	ok := p.password == "" || strings.EqualFold(scheme, "basic") && given == want
	p.mu.Lock()
	defer p.mu.Unlock()
	if ok {
		p.connects++
	} else {
		p.refused++
	}
	return ok
}

func (p *connectProxy) serve(c net.Conn) {
	defer c.Close()
	reader := bufio.NewReader(c)
	r, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	if !p.allows(r) {
		io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
		return
	}
	if r.Method != "CONNECT" || !strings.HasPrefix(r.Host, "deployment.test:") {
		io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		return
	}
	to, err := net.Dial("tcp", p.target)
	if err != nil {
		io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer to.Close()
	io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		io.Copy(to, reader)
		to.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(c, to)
}

// startProxy gives the deployment another name, under which only the proxy knows it.
func startProxy(t *testing.T, d *deployment, password string) *connectProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	u, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	p := &connectProxy{listener: listener, target: u.Host, password: password}
	d.URL = "https://deployment.test:" + u.Port()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *connectProxy) env(credentials string) []string {
	return []string{"HTTPS_PROXY=http://" + credentials + p.listener.Addr().String()}
}

// throughProxy runs the first script; REST, watch, coordinator and relay: all by CONNECT.
func throughProxy(t *testing.T, password, credentials string, serve ...string) {
	t.Helper()
	d := servePeer(t, append([]string{"--tls", "--direct", "off"}, serve...)...)
	p := startProxy(t, d, password)
	d.spawn(p.env(credentials), "run", "--workspace", "peerws", example("hello.lua")).expect(0, "foo\n")
	if connects, refused := p.count(); connects < 4 || refused != 0 {
		t.Errorf("%d connects, %d refused", connects, refused)
	}
}

func TestProxyRelayByUpgrade(t *testing.T)   { throughProxy(t, "", "") }
func TestProxyRelayByWebSocket(t *testing.T) { throughProxy(t, "", "", "--derp-force-websockets") }
func TestProxyRelayFallsBack(t *testing.T)   { throughProxy(t, "", "", "--derp-websocket-only") }
func TestProxyWithPassword(t *testing.T) {
	throughProxy(t, "user:p@ss word", "user:p%40ss%20word@")
}

// proxyRefusal expects a clear error that names proxy and deployment.
func proxyRefusal(t *testing.T, d *deployment, env []string, stderr ...string) {
	t.Helper()
	p := d.spawn(env, "run", "--workspace", "peerws", example("hello.lua"))
	if status := p.wait(15 * time.Second); status != 69 && status != 77 {
		t.Errorf("status %d", status)
	}
	for _, text := range append(stderr, "deployment.test", "proxy 127.0.0.1:") {
		if !strings.Contains(p.stderr.String(), text) {
			t.Errorf("%q lacks %q", p.stderr, text)
		}
	}
}

func TestProxyWantsPassword(t *testing.T) {
	d := servePeer(t, "--tls")
	p := startProxy(t, d, "user:secret")
	proxyRefusal(t, d, p.env(""), "proxy")
}

func TestProxyCannotReach(t *testing.T) {
	d := servePeer(t, "--tls")
	p := startProxy(t, d, "")
	p.target = "127.0.0.1:1"
	proxyRefusal(t, d, p.env(""), "502 Bad Gateway")
}

func TestProxyIsDown(t *testing.T) {
	d := servePeer(t, "--tls")
	p := startProxy(t, d, "")
	p.listener.Close()
	proxyRefusal(t, d, p.env(""), "refused")
}

// NO_PROXY, and loopback without it: the proxy hears nothing.
func TestProxyIsPassedBy(t *testing.T) {
	d := servePeer(t, "--tls")
	direct := d.URL
	p := startProxy(t, d, "")
	d.URL = direct
	d.spawn(p.env(""), "run", "--workspace", "peerws", example("hello.lua")).expect(0, "foo\n")
	if connects, refused := p.count(); connects+refused != 0 {
		t.Errorf("%d connects, %d refused", connects, refused)
	}
}
