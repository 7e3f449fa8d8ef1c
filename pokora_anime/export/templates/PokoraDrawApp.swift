import PokoraKit
import SwiftUI

@main
struct PokoraDrawApp: App {
    var body: some Scene {
        WindowGroup { DrawView() }
    }
}

@MainActor
final class Drawer: ObservableObject {
    @Published var image: CGImage?
    @Published var said = ""
    @Published var busy = false

    func draw(_ prompt: String, seed: UInt64) {
        busy = true
        said = "Loading ..."
        Task.detached(priority: .userInitiated) { [weak self] in
            do {
                let picture = try Drawing().draw(prompt, seed: seed) { done, steps in
                    Task { @MainActor in self?.said = "Step \(done) of \(steps)" }
                }
                await self?.show(picture)
            } catch {
                await self?.fail(error)
            }
        }
    }

    func show(_ picture: Picture) {
        image = picture.image
        said = ""
        busy = false
    }

    func fail(_ error: Error) {
        said = "\(error)"
        busy = false
    }
}

struct DrawView: View {
    @StateObject private var drawer = Drawer()
    @State private var prompt = "1girl, blue hair, twintails, smile, school uniform, cherry blossoms"
    @State private var seed = 7

    var body: some View {
        VStack(spacing: 12) {
            if let image = drawer.image {
                Image(decorative: image, scale: 1).resizable().scaledToFit()
            }
            TextField("Prompt", text: $prompt)
            Stepper("Seed \(seed)", value: $seed, in: 0...1_000_000)
            Button("Draw") { drawer.draw(prompt, seed: UInt64(seed)) }.disabled(drawer.busy)
            Text(drawer.said)
        }
        .padding()
    }
}

extension Picture {
    var image: CGImage? {
        guard let provider = CGDataProvider(data: Data(pixels) as CFData) else { return nil }
        return CGImage(
            width: width, height: height, bitsPerComponent: 8, bitsPerPixel: 24, bytesPerRow: 3 * width,
            space: CGColorSpaceCreateDeviceRGB(), bitmapInfo: CGBitmapInfo(rawValue: 0), provider: provider,
            decode: nil, shouldInterpolate: true, intent: .defaultIntent)
    }
}
