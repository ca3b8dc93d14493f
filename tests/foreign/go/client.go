// A gRPC client on xDS in Go, told by JSON lines what to call; the commands and answers are those of tests/support/programs/caller.py,
// and each command names its target: {"do": "call", "target": "xds:///user", "times": 3}.
//
//	client DESCRIPTORS
//
// DESCRIPTORS is a file with the contracts as a FileDescriptorSet: messages are built from it, so no code is generated.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	rpccode "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	_ "google.golang.org/grpc/xds"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

const service = "demo.calculator.v1.Calculator"

type command struct {
	Do           string            `json:"do"`
	Target       string            `json:"target"`
	Method       string            `json:"method"`
	Times        int64             `json:"times"`
	Workers      int               `json:"workers"`
	Timeout      float64           `json:"timeout"` // seconds; 0: no deadline
	Metadata     map[string]string `json:"metadata"`
	WaitForReady bool              `json:"wait_for_ready"`
	Pause        float64           `json:"pause"` // seconds between two calls of one worker in the background
}

// outcome is [code, instance, version, seconds, message, began].
type outcome []any

type client struct {
	contract protoreflect.ServiceDescriptor
	channels map[string]*grpc.ClientConn
	mutex    sync.Mutex
	seen     []outcome
	stopped  chan struct{}
	workers  sync.WaitGroup
}

func contract(path string) (protoreflect.ServiceDescriptor, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(content, &set); err != nil {
		return nil, err
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, err
	}
	return find(files)
}

func find(files *protoregistry.Files) (protoreflect.ServiceDescriptor, error) {
	found, err := files.FindDescriptorByName(service)
	if err != nil {
		return nil, err
	}
	described, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s is no service", service)
	}
	return described, nil
}

func (c *client) channel(target string) (*grpc.ClientConn, error) {
	if made, ok := c.channels[target]; ok {
		return made, nil
	}
	made, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err == nil {
		c.channels[target] = made
		made.Connect()
	}
	return made, err
}

func (c *client) one(channel *grpc.ClientConn, asked command) outcome {
	method := c.contract.Methods().ByName(protoreflect.Name(asked.Method))
	request := dynamicpb.NewMessage(method.Input())
	for name, value := range map[protoreflect.Name]float64{"a": 1, "b": 2} {
		request.Set(method.Input().Fields().ByName(name), protoreflect.ValueOfFloat64(value))
	}
	ctx := metadata.NewOutgoingContext(context.Background(), metadata.New(asked.Metadata))
	if asked.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, seconds(asked.Timeout))
		defer cancel()
	}
	var trailer metadata.MD
	began, start := monotonic(), time.Now()
	err := channel.Invoke(ctx, "/"+service+"/"+asked.Method, request, dynamicpb.NewMessage(method.Output()),
		grpc.Trailer(&trailer), grpc.WaitForReady(asked.WaitForReady))
	took := time.Since(start).Seconds()
	ended := status.Convert(err)
	return outcome{rpccode.Code(ended.Code()).String(), first(trailer, "meshwright-instance"),
		first(trailer, "meshwright-version"), took, ended.Message(), began}
}

func first(trailer metadata.MD, key string) string {
	if values := trailer.Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

func seconds(value float64) time.Duration {
	return time.Duration(value * float64(time.Second))
}

// monotonic is the machine's clock, the same in each process and language.
func monotonic() float64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		log.Fatal(err)
	}
	return float64(now.Nano()) / 1e9
}

func (c *client) many(channel *grpc.ClientConn, asked command) []outcome {
	outcomes := make([]outcome, asked.Times)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range max(asked.Workers, 1) {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for i := next.Add(1) - 1; i < asked.Times; i = next.Add(1) - 1 {
				outcomes[i] = c.one(channel, asked)
			}
		}()
	}
	workers.Wait()
	return outcomes
}

func (c *client) start(channel *grpc.ClientConn, asked command) {
	c.seen, c.stopped = []outcome{}, make(chan struct{})
	for range asked.Workers {
		c.workers.Add(1)
		go func() {
			defer c.workers.Done()
			for {
				ended := c.one(channel, asked)
				c.mutex.Lock()
				c.seen = append(c.seen, ended)
				c.mutex.Unlock()
				select {
				case <-c.stopped:
					return
				case <-time.After(seconds(asked.Pause)):
				}
			}
		}()
	}
}

func (c *client) obey(asked command) (map[string]any, error) {
	channel, err := c.channel(asked.Target)
	if err != nil {
		return nil, err
	}
	switch asked.Do {
	case "call":
		return map[string]any{"outcomes": c.many(channel, asked)}, nil
	case "start":
		c.start(channel, asked)
		return map[string]any{}, nil
	case "count":
		c.mutex.Lock()
		defer c.mutex.Unlock()
		return map[string]any{"count": len(c.seen)}, nil
	case "stop":
		close(c.stopped)
		c.workers.Wait()
		return map[string]any{"outcomes": c.seen}, nil
	}
	return nil, fmt.Errorf("unknown command %q", asked.Do)
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: client DESCRIPTORS")
	}
	described, err := contract(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	c := &client{contract: described, channels: map[string]*grpc.ClientConn{}}
	answers := json.NewEncoder(os.Stdout)
	answer := func(content map[string]any) {
		if err := answers.Encode(content); err != nil {
			log.Fatal(err)
		}
	}
	answer(map[string]any{"version": grpc.Version})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		asked := command{Method: "Add", Times: 1, Workers: 1, Timeout: 10, Pause: 0.002}
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			log.Fatal(err)
		}
		content, err := c.obey(asked)
		if err != nil {
			log.Fatal(err)
		}
		answer(content)
	}
}
