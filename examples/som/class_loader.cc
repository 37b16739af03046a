#include "class_loader.h"

#include <cctype>
#include <utility>

#include "compiler.h"
#include "files.h"
#include "parser.h"
#include "primitives.h"
#include "universe.h"

namespace som {

ClassLoader::Loaded ClassLoader::Load(const std::string& name) { return LoadAbove(name, nullptr); }

// [load]
ClassLoader::Loaded ClassLoader::LoadAbove(const std::string& name, const Below* below) {
  if (Class* info = Find(name)) return {Outcome::kLoaded, info, ""};
  std::unique_ptr<ClassNode> node;
  if (Loaded parsed = Parse(name, &node); parsed.outcome != Outcome::kLoaded) return parsed;
  Loaded above = LoadSuperclass(*node, {name, below});
  if (above.outcome != Outcome::kLoaded) return above;
  Class* superclass = above.info;
  const Atoll::ExclusiveProgramLock lock(universe_.program().lock());
  // Another isolate may have been faster.
  if (Class* info = FindLocked(name)) return {Outcome::kLoaded, info, ""};
  SourceError error;
  std::unique_ptr<Class> made = NewClass(*node, superclass, &error);
  Class* info = made.get();
  const bool ok =
      info != nullptr && FillSide(*info, node->instance_side, superclass, &error) &&
      FillSide(*info->meta, node->class_side,
               superclass == nullptr ? universe_.classes().class_ : superclass->meta, &error) &&
      Publish(std::move(made), &error);
  if (!ok) return {Outcome::kWrong, nullptr, error.ToString()};
  return {Outcome::kLoaded, info, ""};
}
// [/load]

Class* ClassLoader::Find(const std::string& name) const {
  const Atoll::SharedProgramLock lock(universe_.program().lock());
  return FindLocked(name);
}
Class* ClassLoader::FindLocked(const std::string& name) const {
  const auto found = classes_.find(name);
  return found == classes_.end() ? nullptr : found->second.get();
}

ClassLoader::Loaded ClassLoader::Parse(const std::string& name, std::unique_ptr<ClassNode>* node) {
  const Atoll::NativeScope native(Atoll::Isolate::Current()->mutator());  // touches no object
  // A name is not a path: what is no identifier names no class.
  for (const char c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_')
      return {Outcome::kNotFound, nullptr, {}};
  }
  std::string text;
  for (const std::string& folder : universe_.options().class_path) {
    const std::string path = folder + "/" + name + ".som";
    std::string why;
    const FileRead read = ReadFile(path, &text, &why);
    if (read == FileRead::kMissing) continue;
    if (read == FileRead::kRefused) {
      return {Outcome::kWrong, nullptr, path + ": the file cannot be read: " + why};
    }
    SourceError error;
    *node = ParseClass(path, text, &error);
    if (*node != nullptr && (*node)->name != name) {
      error = {path, (*node)->at,
               "the file of class " + name + " defines " + (*node)->name +
                   "; a class stands in a file of its name"};
    }
    if (error) return {Outcome::kWrong, nullptr, error.ToString()};
    return {Outcome::kLoaded, nullptr, {}};
  }
  return {Outcome::kNotFound, nullptr, {}};
}

ClassLoader::Loaded ClassLoader::LoadSuperclass(const ClassNode& node, const Below& below) {
  if (node.superclass == "nil") return {Outcome::kLoaded, nullptr, {}};
  const std::string& name = node.superclass;
  const auto wrong = [&](const std::string& why) -> Loaded {
    return {Outcome::kWrong, nullptr, SourceError{node.file, node.superclass_at, why}.ToString()};
  };
  std::string chain = name;
  for (const Below* at = &below; at != nullptr; at = at->next) {
    chain.insert(0, at->name + " -> ");
    if (at->name == name) return wrong("the class inherits from itself: " + chain);
  }
  Loaded loaded = LoadAbove(name, &below);
  if (loaded.outcome == Outcome::kNotFound) {
    return wrong("the superclass " + name + " is in no folder of the class path");
  }
  return loaded;
}

std::unique_ptr<Class> ClassLoader::NewClass(const ClassNode& node, Class* superclass,
                                             SourceError* error) {
  Atoll::Heap& heap = universe_.group().heap();
  auto info = std::make_unique<Class>();
  info->own_meta = std::make_unique<Class>();
  Class* meta = info->own_meta.get();
  info->name = universe_.Intern(node.name);
  info->file = meta->file = node.file;
  info->meta = meta;
  info->superclass = superclass;
  if (superclass != nullptr) info->kind = superclass->kind;
  info->type = universe_.CoreType(node.name, &info->kind);
  meta->name = universe_.Intern(node.name + " class");
  const auto no_memory = [&] {
    *error = {node.file, node.at, "no memory for the class " + node.name};
    return nullptr;
  };
  if (info->name == nullptr || meta->name == nullptr) return no_memory();
  meta->instance = info.get();
  meta->kind = Kind::kClass;

  const auto& fields = node.instance_side.fields;
  const bool may_have_fields = info->kind == Kind::kInstance || info->kind == Kind::kClass;
  if (!fields.empty() && !may_have_fields) {
    *error = {node.file, fields.front().at,
              "a class that inherits from " + superclass->name->text() +
                  " has no fields: its instances have a form of their own"};
    return nullptr;
  }
  // [class_types]
  if (info->type == nullptr) {
    Atoll::TypeInfo type;
    if (info->kind == Kind::kInstance) {
      const size_t count = fields.size() + (superclass == nullptr ? 0 : superclass->fields.size());
      type.layout = count == 0 ? Atoll::Layout::kLeaf : Atoll::Layout::kFixed;
      type.fixed_size = static_cast<uint32_t>(sizeof(Instance) + count * sizeof(Ref));
      for (uint32_t offset = sizeof(Instance); offset < type.fixed_size; offset += sizeof(Ref)) {
        type.ref_offsets.push_back(offset);
      }
    } else {
      type = universe_.CoreTypeInfo(info->kind);
    }
    type.name = node.name;
    auto registered = heap.RegisterType(type);
    if (!registered.ok()) {
      *error = {node.file, node.at, registered.status().message()};
      return nullptr;
    }
    info->type = registered.value();
  }
  // [/class_types]
  Atoll::TypeInfo meta_type;
  meta_type.name = meta->name->text();
  meta_type.fixed_size = sizeof(ClassObject);
  auto registered = heap.RegisterType(meta_type);
  if (registered.ok()) meta->type = registered.value();
  Kind ignored;
  const Atoll::Type* of_metaclasses = universe_.CoreType("Metaclass", &ignored);
  const ObjectPtr object = registered.ok() ? heap.AllocateProgram(*meta->type) : ObjectPtr();
  const ObjectPtr meta_object = heap.AllocateProgram(*of_metaclasses);
  if (!object || !meta_object) return no_memory();
  info->object = RefOf(object);
  meta->object = RefOf(meta_object);
  To<ClassObject>(info->object)->info = info.get();
  To<ClassObject>(meta->object)->info = meta;
  return info;
}

bool ClassLoader::FillSide(Class& info, ClassNode::Side& side, Class* superclass,
                           SourceError* error) {
  info.superclass = superclass;
  if (superclass != nullptr) info.fields = superclass->fields;
  for (const Name& field : side.fields) {
    info.fields.push_back(universe_.Intern(field.text));
    if (info.fields.back() == nullptr) {
      *error = {info.file, field.at, "no memory for the name of a field"};
      return false;
    }
  }
  if (info.fields.size() > UINT16_MAX) {
    *error = {info.file, side.fields.front().at, "the class has more than 65535 fields"};
    return false;
  }
  for (MethodNode& node : side.methods) {
    Method* method = NewMethod(info, node, &info.owned, error);
    if (method == nullptr) return false;
    info.Add(*method);
  }
  return true;
}

Method* ClassLoader::NewMethod(Class& info, MethodNode& node,
                               std::vector<std::unique_ptr<Method>>* made, SourceError* error) {
  const auto no_memory = [&] {
    *error = {info.file, node.at, "no memory for the method " + node.selector};
    return nullptr;
  };
  Method* method = nullptr;
  if (node.is_primitive) {
    made->push_back(std::make_unique<Method>());
    method = made->back().get();
    method->selector = universe_.Intern(node.selector);
    if (method->selector == nullptr) return no_memory();
    method->holder = &info;
    method->arity = static_cast<uint16_t>(method->selector->Arity());
    const PrimitiveEntry& entry = FindPrimitive(info, node.selector);
    method->primitive = entry.primitive;
    method->inlined = entry.inlined;
  } else {
    method = CompileMethod(universe_, info, node, made, error);
    if (method == nullptr) return nullptr;
  }
  Kind ignored;
  const ObjectPtr object = universe_.group().heap().AllocateProgram(
      *universe_.CoreType(node.is_primitive ? "Primitive" : "Method", &ignored));
  if (!object) return no_memory();
  method->object = RefOf(object);
  To<MethodObject>(method->object)->info = method;
  return method;
}

// [define]
Method* ClassLoader::Define(Class& info, std::string source, std::string* error) {
  SourceError why;
  std::unique_ptr<MethodNode> node;
  {
    const Atoll::NativeScope native(Atoll::Isolate::Current()->mutator());  // touches no object
    node = ParseMethod("a method of " + info.name->text(), source, &why);
  }
  std::vector<std::unique_ptr<Method>> made;
  Method* method = node == nullptr ? nullptr : NewMethod(info, *node, &made, &why);
  if (method == nullptr) {
    *error = why.ToString();
    return nullptr;
  }
  // All is done but what others must not see half of.
  const Atoll::Status changed = universe_.program().Change(
      Atoll::SafepointLevel::kDeopt, "a method is defined",
      [&](const Atoll::StoppedScope& stopped) {
        Method* replaced = info.Add(*method);
        for (auto& owned : made) info.owned.push_back(std::move(owned));
        universe_.program().ResetCallSites(stopped, reinterpret_cast<uintptr_t>(method->selector));
        universe_.hot_code().Invalidate(stopped, method->selector, replaced);
      });
  if (changed.ok()) return method;
  *error = changed.message();
  return nullptr;
}
// [/define]

bool ClassLoader::Publish(std::unique_ptr<Class> owned, SourceError* error) {
  Class* info = owned.get();
  Class* meta = info->meta;
  const auto first = universe_.program().AddFields(std::vector<Ref>(meta->fields.size()));
  if (!first.ok() || !universe_.FieldOfGlobal(info->name)) {
    *error = {info->file, {}, "no memory for the fields of the class " + info->name->text()};
    return false;
  }
  info->first_field = static_cast<uint32_t>(first.value());
  meta->meta = universe_.classes().metaclass;  // null until that is loaded, which sets it
  if (info->name->view() == "Metaclass") {
    meta->meta = info;
    for (auto& [name, known] : classes_) known->meta->meta = info;
  }
  classes_.emplace(info->name->text(), std::move(owned));
  universe_.SetClassOfType(*meta->type, meta);
  universe_.SetClassOfType(*info->type, info);
  // Last: who sees the class sees all of it.
  return universe_.SetGlobal(info->name, info->object);
}

ClassLoader::Counts ClassLoader::Count() const {
  const Atoll::SharedProgramLock lock(universe_.program().lock());
  Counts counts;
  for (const auto& [name, info] : classes_) {
    ++counts.classes;
    for (const Class* side : std::initializer_list<const Class*>{info.get(), info->meta}) {
      for (const auto& method : side->owned) {
        ++counts.methods;
        if (method->sites == nullptr) continue;
        for (const SendSite& site : method->sites->all()) {
          ++counts.sites[static_cast<size_t>(site.calls.state())];
        }
      }
    }
  }
  return counts;
}

ClassLoader::Loaded ClassLoader::LoadRoots() {
  for (const std::string& folder : universe_.options().class_path) {
    if (const std::string why = WhyNoFolder(folder); !why.empty()) {
      return {Outcome::kWrong, nullptr,
              "classes cannot be looked for in " + folder + ": " + why +
                  "; the class path (-cp) names folders"};
    }
  }
  std::unique_ptr<ClassNode> object_node;
  std::unique_ptr<ClassNode> class_node;
  if (Loaded parsed = Parse("Object", &object_node); parsed.outcome != Outcome::kLoaded)
    return parsed;
  if (Loaded parsed = Parse("Class", &class_node); parsed.outcome != Outcome::kLoaded)
    return parsed;
  const Atoll::ExclusiveProgramLock lock(universe_.program().lock());
  SourceError error;
  std::unique_ptr<Class> object = NewClass(*object_node, nullptr, &error);
  if (object == nullptr) return {Outcome::kWrong, nullptr, error.ToString()};
  std::unique_ptr<Class> class_ = NewClass(*class_node, object.get(), &error);
  if (class_ == nullptr) return {Outcome::kWrong, nullptr, error.ToString()};
  Class* root = object.get();
  const bool ok = FillSide(*object, object_node->instance_side, nullptr, &error) &&
                  FillSide(*class_, class_node->instance_side, object.get(), &error) &&
                  FillSide(*object->meta, object_node->class_side, class_.get(), &error) &&
                  FillSide(*class_->meta, class_node->class_side, object->meta, &error) &&
                  Publish(std::move(object), &error) && Publish(std::move(class_), &error);
  if (!ok) return {Outcome::kWrong, nullptr, error.ToString()};
  return {Outcome::kLoaded, root, ""};
}

}  // namespace som
