#include "class_loader.h"

#include <cctype>
#include <utility>

#include "compiler.h"
#include "files.h"
#include "parser.h"
#include "primitives.h"
#include "universe.h"

namespace som {

ClassLoader::Loaded ClassLoader::Load(Symbol* name) {
  GlobalName* global = universe_.globals().Get(name);
  // Acquire: a class that is seen is complete.
  if (Class* info = global->loaded.load(std::memory_order_acquire)) {
    return {Outcome::kLoaded, info, ""};
  }
  const Atoll::SafepointMutexLock lock(mutex_);
  loading_.clear();
  return LoadLocked(name);
}

ClassLoader::Loaded ClassLoader::LoadLocked(Symbol* name) {
  // Another isolate may have loaded it while this one waited.
  if (Class* info = universe_.globals().Get(name)->loaded.load(std::memory_order_acquire)) {
    return {Outcome::kLoaded, info, ""};
  }
  std::unique_ptr<ClassNode> node;
  if (Loaded parsed = Parse(name, &node); parsed.outcome != Outcome::kLoaded) return parsed;
  loading_.push_back(name);
  Class* superclass = nullptr;
  if (Loaded above = SuperclassOf(*node, &superclass); above.outcome != Outcome::kLoaded) {
    return above;
  }
  SourceError error;
  std::unique_ptr<Class> info = NewClass(*node, superclass, &error);
  const bool ok =
      info != nullptr && FillSide(*info, node->instance_side, superclass, &error) &&
      FillSide(*info->meta, node->class_side,
               superclass == nullptr ? universe_.classes().class_ : superclass->meta, &error);
  if (!ok) return {Outcome::kWrong, nullptr, error.ToString()};
  return {Outcome::kLoaded, Publish(std::move(info)), ""};
}

ClassLoader::Loaded ClassLoader::Parse(Symbol* name, std::unique_ptr<ClassNode>* node) {
  // A name is not a path: what is no identifier names no class.
  for (const char c : name->text) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_')
      return {Outcome::kNotFound, nullptr, {}};
  }
  std::string text;
  for (const std::string& folder : universe_.options().class_path) {
    const std::string path = folder + "/" + name->text + ".som";
    std::string why;
    const FileRead read = ReadFile(path, &text, &why);
    if (read == FileRead::kMissing) continue;
    if (read == FileRead::kRefused) {
      return {Outcome::kWrong, nullptr, path + ": the file cannot be read: " + why};
    }
    SourceError error;
    *node = ParseClass(path, text, &error);
    if (*node != nullptr && (*node)->name != name->text) {
      error = {path, (*node)->at,
               "the file of class " + name->text + " defines " + (*node)->name +
                   "; a class stands in a file of its name"};
    }
    if (error) return {Outcome::kWrong, nullptr, error.ToString()};
    return {Outcome::kLoaded, nullptr, {}};
  }
  return {Outcome::kNotFound, nullptr, {}};
}

ClassLoader::Loaded ClassLoader::SuperclassOf(const ClassNode& node, Class** superclass) {
  *superclass = nullptr;
  if (node.superclass == "nil") return {Outcome::kLoaded, nullptr, {}};
  Symbol* name = universe_.symbols().Get(node.superclass);
  const auto wrong = [&](const std::string& why) -> Loaded {
    return {Outcome::kWrong, nullptr, SourceError{node.file, node.superclass_at, why}.ToString()};
  };
  for (const Symbol* below : loading_) {
    if (below != name) continue;
    std::string chain;
    for (const Symbol* at : loading_) chain += at->text + " -> ";
    return wrong("the class inherits from itself: " + chain + name->text);
  }
  Loaded loaded = LoadLocked(name);
  if (loaded.outcome == Outcome::kNotFound) {
    return wrong("the superclass " + name->text + " is in no folder of the class path");
  }
  *superclass = loaded.info;
  return loaded;
}

std::unique_ptr<Class> ClassLoader::NewClass(const ClassNode& node, Class* superclass,
                                             SourceError* error) {
  Atoll::Heap& heap = universe_.group().heap();
  auto info = std::make_unique<Class>();
  info->own_meta = std::make_unique<Class>();
  Class* meta = info->own_meta.get();
  info->name = universe_.symbols().Get(node.name);
  info->file = meta->file = node.file;
  info->meta = meta;
  info->superclass = superclass;
  if (superclass != nullptr) info->kind = superclass->kind;
  info->type = universe_.CoreType(node.name, &info->kind);
  meta->name = universe_.symbols().Get(node.name + " class");
  meta->instance = info.get();
  meta->kind = Kind::kClass;

  const auto& fields = node.instance_side.fields;
  const bool may_have_fields = info->kind == Kind::kInstance || info->kind == Kind::kClass;
  if (!fields.empty() && !may_have_fields) {
    *error = {node.file, fields.front().at,
              "a class that inherits from " + superclass->name->text +
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
  meta_type.name = meta->name->text;
  meta_type.fixed_size = sizeof(ClassObject);
  auto registered = heap.RegisterType(meta_type);
  if (registered.ok()) meta->type = registered.value();
  Kind ignored;
  const Atoll::Type* of_metaclasses = universe_.CoreType("Metaclass", &ignored);
  const ObjectPtr object = registered.ok() ? heap.AllocateProgram(*meta->type) : ObjectPtr();
  const ObjectPtr meta_object = heap.AllocateProgram(*of_metaclasses);
  if (!object || !meta_object) {
    *error = {node.file, node.at, "no memory for the class " + node.name};
    return nullptr;
  }
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
    info.fields.push_back(universe_.symbols().Get(field.text));
  }
  if (info.fields.size() > UINT16_MAX) {
    *error = {info.file, side.fields.front().at, "the class has more than 65535 fields"};
    return false;
  }
  for (MethodNode& method : side.methods) {
    if (!AddMethod(info, method, error)) return false;
  }
  info.Finish();
  return true;
}

bool ClassLoader::AddMethod(Class& info, MethodNode& node, SourceError* error) {
  Method* method = nullptr;
  if (node.is_primitive) {
    info.owned.push_back(std::make_unique<Method>());
    method = info.owned.back().get();
    method->selector = universe_.symbols().Get(node.selector);
    method->holder = &info;
    method->arity = static_cast<uint16_t>(method->selector->arity);
    method->primitive = FindPrimitive(info, node.selector);
  } else {
    method = CompileMethod(universe_, info, node, error);
    if (method == nullptr) return false;
  }
  Kind ignored;
  const ObjectPtr object = universe_.group().heap().AllocateProgram(
      *universe_.CoreType(node.is_primitive ? "Primitive" : "Method", &ignored));
  if (!object) {
    *error = {info.file, node.at, "no memory for the method " + node.selector};
    return false;
  }
  method->object = RefOf(object);
  To<MethodObject>(method->object)->info = method;
  info.methods.push_back(method);
  return true;
}

Class* ClassLoader::Publish(std::unique_ptr<Class> owned) {
  Class* info = owned.get();
  Class* meta = info->meta;
  classes_.push_back(std::move(owned));
  info->first_static = universe_.globals().Reserve(static_cast<uint32_t>(meta->fields.size()));
  meta->meta = universe_.classes().metaclass;  // null until that is loaded, which sets it
  if (info->name->text == "Metaclass") {
    for (auto& known : classes_) known->meta->meta = info;
  }
  universe_.SetClassOfType(*meta->type, meta);
  universe_.SetClassOfType(*info->type, info);
  // Release: who sees the class sees all of it.
  GlobalName* global = universe_.globals().Get(info->name);
  global->loaded.store(info, std::memory_order_release);
  global->SetSharedValue(info->object);
  return info;
}

ClassLoader::Loaded ClassLoader::LoadRoots() {
  const Atoll::SafepointMutexLock lock(mutex_);
  for (const std::string& folder : universe_.options().class_path) {
    if (const std::string why = WhyNoFolder(folder); !why.empty()) {
      return {Outcome::kWrong, nullptr,
              "classes cannot be looked for in " + folder + ": " + why +
                  "; the class path (-cp) names folders"};
    }
  }
  std::unique_ptr<ClassNode> object_node;
  std::unique_ptr<ClassNode> class_node;
  const auto parse = [&](const char* name, std::unique_ptr<ClassNode>* node) {
    return Parse(universe_.symbols().Get(name), node);
  };
  if (Loaded parsed = parse("Object", &object_node); parsed.outcome != Outcome::kLoaded)
    return parsed;
  if (Loaded parsed = parse("Class", &class_node); parsed.outcome != Outcome::kLoaded)
    return parsed;
  SourceError error;
  std::unique_ptr<Class> object = NewClass(*object_node, nullptr, &error);
  if (object == nullptr) return {Outcome::kWrong, nullptr, error.ToString()};
  std::unique_ptr<Class> class_ = NewClass(*class_node, object.get(), &error);
  if (class_ == nullptr) return {Outcome::kWrong, nullptr, error.ToString()};
  const bool ok = FillSide(*object, object_node->instance_side, nullptr, &error) &&
                  FillSide(*class_, class_node->instance_side, object.get(), &error) &&
                  FillSide(*object->meta, object_node->class_side, class_.get(), &error) &&
                  FillSide(*class_->meta, class_node->class_side, object->meta, &error);
  if (!ok) return {Outcome::kWrong, nullptr, error.ToString()};
  Class* root = Publish(std::move(object));
  Publish(std::move(class_));
  return {Outcome::kLoaded, root, ""};
}

}  // namespace som
