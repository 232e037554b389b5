from experiments.sample_efficiency import main

main()
