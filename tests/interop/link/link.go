// Package link drives tests/link (network_link): network namespaces with a
// line between them, and processes in them. Used by the suite and by the
// benchmarks. Nothing that it makes has a name in the system; all ends when
// Close is called or when this process ends.
package link

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrUnavailable: no root, no TUN, or no ip here.
var ErrUnavailable = errors.New("no namespaces with TUN devices here")

// Link is one running network_link.
type Link struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	answer *bufio.Reader
	mu     sync.Mutex
	places map[string]string // side: what nsenter wants
}

func Start(binary string) (*Link, error) {
	if _, err := exec.LookPath("nsenter"); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrUnavailable, err)
	}
	l := &Link{cmd: exec.Command(binary), places: map[string]string{}}
	var err error
	if l.stdin, err = l.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	l.answer = bufio.NewReader(stdout)
	return l, l.cmd.Start()
}

// Do gives one command (see link.c) and returns what follows "ok".
func (l *Link) Do(format string, args ...any) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := fmt.Sprintf(format, args...)
	if _, err := io.WriteString(l.stdin, line+"\n"); err != nil {
		return "", err
	}
	answer, err := l.answer.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("link: %s: %w", line, err)
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(answer), "ok")
	if !ok {
		return "", fmt.Errorf("link: %s: %s", line, answer)
	}
	return strings.TrimSpace(rest), nil
}

// Side makes a namespace; ErrUnavailable if that cannot be done here.
func (l *Link) Side(name string, addresses ...string) error {
	place, err := l.Do("side %s %s", name, strings.Join(addresses, " "))
	if err != nil {
		return fmt.Errorf("%w: %v", ErrUnavailable, err)
	}
	l.places[name] = place
	return nil
}

// Command is a program that runs in a side's namespace.
func (l *Link) Command(side, program string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=" + l.places[side], "--", program}, args...)...)
}

func (l *Link) Close() {
	l.stdin.Close()
	l.cmd.Wait()
}

// Stop ends a process that watches its standard input.
func Stop(cmd *exec.Cmd, stdin io.Closer) {
	stdin.Close()
	cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
	cmd.Wait()
	timer.Stop()
}
