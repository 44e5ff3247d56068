//! The component ABI: Arrow IPC streams as `list<u8>`, for types that the batch ABI does not have, for aggregates and
//! for functions that return tables. `wit/guest.wit` has the world.
//!
//! Components get no imports either: a component of rustc for `wasm32-wasip2` does not load, one built without the
//! standard library's system calls does.

use crate::error::{Error, Result};
use crate::guard::{State, store};
use crate::run::{Frame, Stop};
use std::num::TryFromIntError;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentNamedList, InstancePre, Lift, Linker, Lower, Type, TypedFunc};
use wasmtime::{Store, Trap};

/// What a guest answers.
pub(crate) type Answer = (std::result::Result<Vec<u8>, String>,);

/// A component that can be instantiated.
pub(crate) struct Linked {
    pre: InstancePre<State<()>>,
}

/// An instance and its store.
pub(crate) struct ComponentInstance {
    store: Store<State<()>>,
    instance: wasmtime::component::Instance,
}

/// Where a function is exported.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The instance that exports it, if not the component itself.
    pub interface: Option<&'a str>,
    pub name: &'a str,
}

impl Linked {
    /// Refuses components that import anything a function is not given: that is anything but types.
    pub(crate) fn new(frame: &Frame) -> Result<Linked> {
        let component = frame.module.component()?;
        let imports = component.component_type();
        for (name, import) in imports.imports(&frame.module.engine) {
            if !matches!(import.ty, ComponentItem::Type(_)) {
                let (module, name) = name.rsplit_once('/').unwrap_or(("component", name));
                return Err(Error::Import { module: module.to_string(), name: name.to_string() });
            }
        }
        let linker = Linker::new(&frame.module.engine);
        let pre = linker.instantiate_pre(component).map_err(|error| Error::invalid(format!("{error:#}")))?;
        Ok(Linked { pre })
    }

    /// A new instance, started.
    pub(crate) fn instance(&self, frame: &Frame, stop: Stop<'_>) -> Result<ComponentInstance> {
        let mut store = store(&frame.module, &frame.function, &frame.limits, ());
        // An answer lies in the guest's memory, which has its own limit.
        store.set_hostcall_fuel(usize::MAX);
        let instance = frame.instantiate(&mut store, stop, |store| self.pre.instantiate(store))?;
        Ok(ComponentInstance { store, instance })
    }
}

impl ComponentInstance {
    /// Calls the function at `place`, of so many `list<u8>`; an error of the guest's is an error.
    pub(crate) fn call<P>(&mut self, frame: &Frame, stop: Stop<'_>, place: Place<'_>, params: P) -> Result<Vec<u8>>
    where
        P: ComponentNamedList + Lower + 'static,
        Answer: Lift,
    {
        let func: TypedFunc<P, Answer> = self.find(place)?;
        let called = frame.run(&mut self.store, stop, |store| {
            func.call(&mut *store, params).map_err(|error| broken(frame, store, error))
        });
        let (answer,) = called.map_err(|error| match self.store.data().guard.refusal() {
            Some(refusal) if matches!(error, Error::Trap { .. }) => refusal,
            _ => error,
        })?;
        answer.map_err(|message| frame.guest_error(message.as_bytes()))
    }

    fn find<P>(&mut self, place: Place<'_>) -> Result<TypedFunc<P, Answer>>
    where
        P: ComponentNamedList + Lower + 'static,
    {
        let store = &mut self.store;
        let interface = match place.interface {
            Some(name) => Some(self.instance.get_export_index(&mut *store, None, name).ok_or_else(gone)?),
            None => None,
        };
        let index = self.instance.get_export_index(&mut *store, interface.as_ref(), place.name).ok_or_else(gone)?;
        self.instance.get_typed_func(&mut *store, index).map_err(Error::internal)
    }
}

/// What wasmtime says itself, neither a trap nor an error of ours, is about lowering and lifting: the guest gave it a
/// pointer, a length, a discriminant or a text that the canonical ABI does not allow.
fn broken(frame: &Frame, store: &Store<State<()>>, error: wasmtime::Error) -> wasmtime::Error {
    if error.is::<Error>() || error.is::<Trap>() {
        return error;
    }
    let guard = &store.data().guard;
    wasmtime::Error::new(match guard.refusal() {
        // An allocator that did not notice.
        Some(refusal) => refusal,
        // Arguments of more bytes than a guest can have.
        None if error.is::<TryFromIntError>() => guard.memory_error(),
        None => frame.bad_output(format!("it breaks the canonical ABI: {error:#}")),
    })
}

fn gone() -> Error {
    Error::internal("an export is gone that was there before")
}

/// Checks that `place` is a function of `params` lists of bytes whose answer is `result<list<u8>, string>`.
pub(crate) fn check(frame: &Frame, place: Place<'_>, params: usize) -> Result<()> {
    let component: &Component = frame.module.component()?;
    let engine = &frame.module.engine;
    let missing = |export: &str| Error::MissingExport { function: frame.function.to_string(), export: export.into() };
    let own = component.component_type();
    let item = match place.interface {
        None => own.get_export(engine, place.name).map(|export| export.ty),
        Some(name) => match own.get_export(engine, name).map(|export| export.ty) {
            Some(ComponentItem::ComponentInstance(instance)) => {
                instance.get_export(engine, place.name).map(|export| export.ty)
            }
            _ => return Err(missing(name)),
        },
    };
    let wrong = |found: &str| Error::WrongType {
        function: frame.function.to_string(),
        item: format!("export \"{}\"", place.name),
        expected: format!("a function of {params} list<u8> that returns result<list<u8>, string>"),
        found: found.to_string(),
    };
    match item {
        Some(ComponentItem::ComponentFunc(func)) if is_fitting(&func, params) => Ok(()),
        Some(ComponentItem::ComponentFunc(_)) => Err(wrong("a function of another type")),
        Some(_) => Err(wrong("another kind of export")),
        None => Err(missing(place.name)),
    }
}

fn is_fitting(func: &ComponentFunc, params: usize) -> bool {
    let is_answer = |ty: &Type| match ty {
        Type::Result(result) => {
            result.ok().is_some_and(|ok| is_bytes(&ok)) && matches!(result.err(), Some(Type::String))
        }
        _ => false,
    };
    let results: Vec<Type> = func.results().collect();
    !func.async_()
        && func.params().len() == params
        && func.params().all(|(_, ty)| is_bytes(&ty))
        && matches!(results.as_slice(), [one] if is_answer(one))
}

fn is_bytes(ty: &Type) -> bool {
    matches!(ty, Type::List(list) if list.ty() == Type::U8)
}
