// A go-libp2p node that obeys: one command per line of standard input, one answer or event per line of standard output,
// both JSON, as tests/interop/js/node.mjs has them. It ends when its standard input does.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
)

const (
	echoProtocol = "/icn/test/echo/1"
	chunkBytes   = 1 << 16
	outboundMax  = 1024
	patience     = 30 * time.Second
)

// Fields of a command. Those that a command has no use for are empty.
type command struct {
	Number   int
	Name     string
	Address  string
	Peer     string
	Protocol string
	Topic    string
	Data     string
	Count    int
	Streams  int
}

type object map[string]any

var writing sync.Mutex

func tell(said object) {
	line, err := json.Marshal(said)
	if err != nil {
		panic(err)
	}
	writing.Lock()
	defer writing.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

type node struct {
	host   host.Host
	dht    *dht.IpfsDHT
	pubsub *pubsub.PubSub
	topics map[string]*pubsub.Topic
}

func (n *node) reach(ctx context.Context, address string) (peer.ID, error) {
	info, err := peer.AddrInfoFromString(address)
	if err != nil {
		return "", err
	}
	return info.ID, n.host.Connect(ctx, *info)
}

func (n *node) echoed(ctx context.Context, to peer.ID, count int) error {
	stream, err := n.host.NewStream(ctx, to, echoProtocol)
	if err != nil {
		return err
	}
	defer stream.Close()
	sent := make([]byte, count)
	for at := range sent {
		sent[at] = byte(at * 31)
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := io.Copy(stream, bytes.NewReader(sent))
		wrote <- err
	}()
	got := make([]byte, count)
	if _, err := io.ReadFull(stream, got); err != nil {
		return err
	}
	if !bytes.Equal(got, sent) {
		return errors.New("the echo differs")
	}
	return <-wrote
}

func (n *node) topic(name string) (*pubsub.Topic, error) {
	if topic := n.topics[name]; topic != nil {
		return topic, nil
	}
	topic, err := n.pubsub.Join(name)
	n.topics[name] = topic
	return topic, err
}

func (n *node) obey(ctx context.Context, c command) (object, error) {
	switch c.Name {
	case "dial":
		to, err := n.reach(ctx, c.Address)
		if err != nil {
			return nil, err
		}
		state := n.host.Network().ConnsToPeer(to)[0].ConnState()
		return object{"peer": to.String(), "encryption": state.Security, "muxer": state.StreamMultiplexer}, nil
	case "ping":
		to, err := n.reach(ctx, c.Address)
		if err != nil {
			return nil, err
		}
		result := <-ping.Ping(ctx, n.host, to)
		return object{"ms": result.RTT.Seconds() * 1000}, result.Error
	case "echo":
		to, err := n.reach(ctx, c.Address)
		if err != nil {
			return nil, err
		}
		return object{"same": true}, n.echoed(ctx, to, c.Count)
	case "echoes":
		to, err := n.reach(ctx, c.Address)
		if err != nil {
			return nil, err
		}
		ended := make(chan error, c.Streams)
		for range c.Streams {
			go func() { ended <- n.echoed(ctx, to, 200) }()
		}
		for range c.Streams {
			err = errors.Join(err, <-ended)
		}
		return object{"same": true}, err
	case "serve":
		n.host.SetStreamHandler(protocol.ID(c.Protocol), func(stream network.Stream) { stream.Close() })
		return object{}, nil
	case "subscribe":
		topic, err := n.topic(c.Topic)
		if err != nil {
			return nil, err
		}
		subscription, err := topic.Subscribe()
		if err != nil {
			return nil, err
		}
		go func() {
			for {
				message, err := subscription.Next(context.Background())
				if err != nil {
					return
				}
				tell(object{
					"event": "message", "topic": message.GetTopic(), "from": message.GetFrom().String(),
					"data": string(message.Data),
				})
			}
		}()
		return object{}, nil
	case "publish":
		topic, err := n.topic(c.Topic)
		if err != nil {
			return nil, err
		}
		return object{}, topic.Publish(ctx, []byte(c.Data))
	case "listening":
		peers := []string{}
		for _, one := range n.pubsub.ListPeers(c.Topic) {
			peers = append(peers, one.String())
		}
		return object{"peers": peers}, nil
	case "find":
		wanted, err := peer.Decode(c.Peer)
		if err != nil {
			return nil, err
		}
		found, err := n.dht.FindPeer(ctx, wanted)
		if err != nil {
			return nil, err
		}
		addresses := []string{}
		for _, address := range found.Addrs {
			addresses = append(addresses, address.String())
		}
		return object{"addresses": addresses}, nil
	}
	return nil, fmt.Errorf("no command is called %q", c.Name)
}

func (n *node) watch() error {
	events := []any{
		new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerProtocolsUpdated),
		new(event.EvtPeerConnectednessChanged),
	}
	subscription, err := n.host.EventBus().Subscribe(events)
	if err != nil {
		return err
	}
	go func() {
		for said := range subscription.Out() {
			switch one := said.(type) {
			case event.EvtPeerIdentificationCompleted:
				tell(object{
					"event": "identify", "peer": one.Peer.String(), "agent": one.AgentVersion, "protocols": one.Protocols,
					"record": one.SignedPeerRecord != nil,
				})
			case event.EvtPeerProtocolsUpdated:
				tell(object{"event": "pushed", "peer": one.Peer.String(), "added": one.Added, "removed": one.Removed})
			case event.EvtPeerConnectednessChanged:
				if one.Connectedness == network.NotConnected {
					tell(object{"event": "disconnect", "peer": one.Peer.String()})
				}
			}
		}
	}()
	return nil
}

func start(ctx context.Context) (*node, error) {
	made, err := libp2p.New(
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.UserAgent("go-libp2p"),
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
	)
	if err != nil {
		return nil, err
	}
	made.SetStreamHandler(echoProtocol, func(stream network.Stream) {
		defer stream.Close()
		_, _ = io.CopyBuffer(struct{ io.Writer }{stream}, struct{ io.Reader }{stream}, make([]byte, chunkBytes))
	})
	// Loopback addresses would be left out, and one peer alone would not be kept, by what suits the internet.
	table, err := dht.New(made,
		dht.Mode(dht.ModeServer), dht.ProtocolPrefix("/icn"), dht.DisableAutoRefresh(),
		dht.AddressFilter(func(all []multiaddr.Multiaddr) []multiaddr.Multiaddr { return all }),
	)
	if err != nil {
		return nil, err
	}
	// By default it drops what is more than 32 messages ahead of a peer, as on a busy machine.
	gossip, err := pubsub.NewGossipSub(ctx, made, pubsub.WithPeerOutboundQueueSize(outboundMax))
	if err != nil {
		return nil, err
	}
	return &node{made, table, gossip, map[string]*pubsub.Topic{}}, nil
}

// Of go-libp2p, as it was built in.
func version() string {
	if built, ok := debug.ReadBuildInfo(); ok {
		for _, one := range built.Deps {
			if one.Path == "github.com/libp2p/go-libp2p" {
				return one.Version
			}
		}
	}
	return "unknown"
}

func main() {
	ctx := context.Background()
	n, err := start(ctx)
	if err == nil {
		err = n.watch()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	address := fmt.Sprintf("%s/p2p/%s", n.host.Addrs()[0], n.host.ID())
	tell(object{
		"event": "ready", "peer": n.host.ID().String(), "addresses": []string{address}, "version": version(),
	})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			panic(err)
		}
		limited, cancel := context.WithTimeout(ctx, patience)
		answer, err := n.obey(limited, c)
		cancel()
		if err != nil {
			answer = object{"error": err.Error()}
		}
		answer["answer"], answer["ok"] = c.Number, err == nil
		tell(answer)
	}
}
