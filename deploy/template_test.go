package deploy

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The account and region that templates are rendered in.
const (
	account = "123456789012"
	region  = "us-east-1"
)

// stack is a CloudFormation template as CloudFormation would render it: conditions decided, functions evaluated.
// All scalars are strings.
type stack struct {
	t          *testing.T
	name       string
	parameters map[string]any
	exports    map[string]string // of other stacks
	sections   map[string]any    // of the template, as written
}

// omitted stands for AWS::NoValue.
type omitted struct{}

// newStack reads a template of deploy/cloudformation. Parameters that are not given have their defaults.
func newStack(t *testing.T, name, file string, given map[string]any, exports map[string]string) *stack {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("cloudformation", file))
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	s := &stack{t: t, name: name, exports: exports, parameters: maps.Clone(given), sections: plain(t, document.Content[0]).(map[string]any)}
	if s.parameters == nil {
		s.parameters = map[string]any{}
	}
	for name, of := range s.sections["Parameters"].(map[string]any) {
		if _, ok := s.parameters[name]; ok {
			continue
		}
		standard := of.(map[string]any)["Default"]
		if standard == nil {
			t.Fatalf("%s: %s has no default and was not given", file, name)
		}
		if of.(map[string]any)["Type"] == "CommaDelimitedList" {
			standard = []any{standard}
		}
		s.parameters[name] = standard
	}
	return s
}

// plain is a node of YAML with the short forms of functions written out.
func plain(t *testing.T, n *yaml.Node) (value any) {
	t.Helper()
	// "Template formats", CloudFormation User Guide: aliases and merges are not supported.
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		t.Fatalf("line %d: CloudFormation knows no aliases", n.Line)
	}
	switch n.Kind {
	case yaml.MappingNode:
		object := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if _, twice := object[key]; twice || key == "<<" {
				t.Fatalf("line %d: %s", n.Content[i].Line, key)
			}
			object[key] = plain(t, n.Content[i+1])
		}
		value = object
	case yaml.SequenceNode:
		list := []any{}
		for _, each := range n.Content {
			list = append(list, plain(t, each))
		}
		value = list
	case yaml.ScalarNode, yaml.DocumentNode, yaml.AliasNode:
		value = n.Value
	}
	switch name, short := strings.CutPrefix(n.Tag, "!"); {
	case !short || strings.HasPrefix(name, "!"):
		return value
	case name == "Ref" || name == "Condition":
		return map[string]any{name: value}
	case name == "GetAtt":
		resource, attribute, _ := strings.Cut(value.(string), ".")
		return map[string]any{"Fn::GetAtt": []any{resource, attribute}}
	default:
		return map[string]any{"Fn::" + name: value}
	}
}

// resources are the logical names of those of a type that are made.
func (s *stack) resources(kind string) (names []string) {
	for name, r := range s.sections["Resources"].(map[string]any) {
		r := r.(map[string]any)
		if condition, ok := r["Condition"].(string); r["Type"] == kind && (!ok || s.holds(condition)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// resource is one, as written.
func (s *stack) resource(name string) map[string]any {
	s.t.Helper()
	r, ok := s.sections["Resources"].(map[string]any)[name].(map[string]any)
	if !ok {
		s.t.Fatalf("there is no resource %s", name)
	}
	return r
}

// properties are those of a resource, rendered.
func (s *stack) properties(name string) map[string]any {
	s.t.Helper()
	return s.eval(s.resource(name)["Properties"]).(map[string]any)
}

// outputs are those that are made, rendered; exported are their values by the names of the exports.
func (s *stack) outputs() (values, exported map[string]string) {
	values, exported = map[string]string{}, map[string]string{}
	for name, o := range s.sections["Outputs"].(map[string]any) {
		o := o.(map[string]any)
		if condition, ok := o["Condition"].(string); ok && !s.holds(condition) {
			continue
		}
		values[name] = s.eval(o["Value"]).(string)
		if export, ok := o["Export"].(map[string]any); ok {
			exported[s.eval(export["Name"]).(string)] = values[name]
		}
	}
	return values, exported
}

func (s *stack) holds(condition string) bool {
	return s.eval(s.sections["Conditions"].(map[string]any)[condition]).(bool)
}

// eval renders a value.
func (s *stack) eval(value any) any {
	s.t.Helper()
	switch value := value.(type) {
	case []any:
		list := []any{}
		for _, each := range value {
			if each := s.eval(each); each != (omitted{}) {
				list = append(list, each)
			}
		}
		return list
	case map[string]any:
		for name, argument := range value {
			if name == "Ref" || strings.HasPrefix(name, "Fn::") {
				return s.call(name, argument)
			}
		}
		object := map[string]any{}
		for name, each := range value {
			if each := s.eval(each); each != (omitted{}) {
				object[name] = each
			}
		}
		return object
	}
	return value
}

// substituted is a name in a text of Fn::Sub.
var substituted = regexp.MustCompile(`\$\{([A-Za-z0-9:.]+)\}`)

func (s *stack) call(function string, argument any) any {
	s.t.Helper()
	if function == "Fn::If" {
		branches := argument.([]any)
		if s.holds(branches[0].(string)) {
			return s.eval(branches[1])
		}
		return s.eval(branches[2])
	}
	if text, ok := argument.(string); function == "Fn::Sub" && ok {
		argument = []any{text, map[string]any{}}
	}
	argument = s.eval(argument)
	list, _ := argument.([]any)
	switch function {
	case "Ref":
		return s.ref(argument.(string))
	case "Fn::GetAtt":
		return s.attribute(list[0].(string), list[1].(string))
	case "Fn::Sub":
		return substituted.ReplaceAllStringFunc(list[0].(string), func(found string) string {
			name := found[2 : len(found)-1]
			if value, ok := list[1].(map[string]any)[name]; ok {
				return value.(string)
			}
			if resource, attribute, dotted := strings.Cut(name, "."); dotted {
				return s.attribute(resource, attribute)
			}
			return s.ref(name).(string)
		})
	case "Fn::Join":
		var parts []string
		for _, each := range list[1].([]any) {
			parts = append(parts, each.(string))
		}
		return strings.Join(parts, list[0].(string))
	case "Fn::Split":
		parts := []any{}
		for part := range strings.SplitSeq(list[1].(string), list[0].(string)) {
			parts = append(parts, part)
		}
		return parts
	case "Fn::Equals":
		return list[0] == list[1]
	case "Fn::Not":
		return !list[0].(bool)
	case "Fn::ImportValue":
		value, ok := s.exports[argument.(string)]
		if !ok {
			s.t.Fatalf("no stack exports %s", argument)
		}
		return value
	}
	s.t.Fatalf("%s is not known here", function)
	return nil
}

// ref is a parameter, or what Ref returns of a resource ("Return values" of each type, CloudFormation Template Reference).
func (s *stack) ref(name string) any {
	s.t.Helper()
	switch name {
	case "AWS::NoValue":
		return omitted{}
	case "AWS::Partition":
		return "aws"
	case "AWS::Region":
		return region
	case "AWS::AccountId":
		return account
	case "AWS::StackName":
		return s.name
	}
	if value, ok := s.parameters[name]; ok {
		return value
	}
	switch r := s.resource(name); r["Type"] {
	case "AWS::SQS::Queue":
		return "https://sqs." + region + ".amazonaws.com/" + account + "/" + s.attribute(name, "QueueName")
	case "AWS::SNS::Topic":
		return "arn:aws:sns:" + region + ":" + account + ":" + s.named(name, "TopicName")
	case "AWS::DynamoDB::Table":
		return s.named(name, "TableName")
	case "AWS::ECS::Cluster":
		return s.named(name, "ClusterName")
	case "AWS::Logs::LogGroup":
		return s.named(name, "LogGroupName")
	}
	return name
}

func (s *stack) named(resource, property string) string {
	return s.eval(s.resource(resource)["Properties"].(map[string]any)[property]).(string)
}

func (s *stack) attribute(name, attribute string) string {
	s.t.Helper()
	switch kind := s.resource(name)["Type"].(string); kind + "." + attribute {
	case "AWS::SQS::Queue.QueueName":
		return s.named(name, "QueueName")
	case "AWS::SQS::Queue.Arn":
		return "arn:aws:sqs:" + region + ":" + account + ":" + s.named(name, "QueueName")
	case "AWS::DynamoDB::Table.Arn":
		return "arn:aws:dynamodb:" + region + ":" + account + ":table/" + s.named(name, "TableName")
	case "AWS::Events::Rule.Arn":
		return "arn:aws:events:" + region + ":" + account + ":rule/" + s.named(name, "Name")
	case "AWS::IAM::Role.Arn":
		if of := s.resource(name)["Properties"].(map[string]any); of["RoleName"] == nil {
			return "arn:aws:iam::" + account + ":role/" + name
		}
		return "arn:aws:iam::" + account + ":role/" + s.named(name, "RoleName")
	case "AWS::ECS::Service.Name":
		return s.named(name, "ServiceName")
	}
	return name + "." + attribute
}
